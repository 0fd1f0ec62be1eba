"""Insert a Conv-BatchNorm-ReLU block: a network morphism (section 3.1, item 1).

Equations 4, 5 and 7 together (see `morphisms`). The convolution starts as the identity (1 at the
center, from each channel to itself), as in Net2DeeperNet; the batch norm starts with
gamma = sqrt(variance + epsilon) and beta = mean of the statistics that it normalizes by, which
undoes the normalization; and the ReLU changes nothing where its input is not negative:

    ReLU(gamma * (x - mean) / sqrt(variance + epsilon) + beta) = x    for x >= 0

So a block is inserted only where values are proven non-negative: after a ReLU, or after pooling,
concatenation and the like of such values, or a convex sum of them, because training keeps its
lambda in [0, 1]. (The paper starts scale and offset from the batch variance and mean; equation 5
holds with the standard deviation.)

In imported networks without batch norm, a block may be a convolution with a bias of 0 and a ReLU,
which needs no statistics.

The paper leaves the kernel size open: it is drawn from {3, 5}. The block has as many filters as its
input has channels, which the identity needs. A kernel does not apply if some of its weights are
never multiplied with a pixel, because it extends beyond the image in height or width at every
position (5x5 on 2x2 or 8x2); so on images one pixel high or wide only 1x1 is possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lemonade_tf.architecture import Graph, Node
from lemonade_tf.architecture.layer_lists import kind_name
from lemonade_tf.architecture.layers import (
    Activation,
    Add,
    Average,
    ChannelSlice,
    Concatenate,
    ConvexSum,
    Cropping2D,
    Dropout,
    Flatten,
    GlobalPooling2D,
    Layer,
    Maximum,
    Minimum,
    Multiply,
    Permute,
    Pooling2D,
    ReLU,
    Rescaling,
    Reshape,
    Resizing,
    UpSampling2D,
    ZeroPadding2D,
)
from lemonade_tf.operators.base import Operator
from lemonade_tf.operators.change import Change, MeasureStatistics
from lemonade_tf.operators.morphisms import insert_affine, insert_linear, repeat_idempotent

KERNEL_SIZES = (3, 5)
_NEVER_NEGATIVE = (
    "exponential",
    "hard_sigmoid",
    "relu",
    "relu6",
    "sigmoid",
    "softmax",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
)
# Outputs of these are non-negative if all inputs are. A convolution is not among them, regardless
# of its current weights, nor is what adds noise in training.
_PRESERVE_SIGN = (
    Pooling2D,
    GlobalPooling2D,
    ZeroPadding2D,
    Cropping2D,
    UpSampling2D,
    Resizing,
    Reshape,
    Permute,
    ChannelSlice,
    Dropout,
    Flatten,
    Concatenate,
    Add,
    Average,
    Minimum,
    Multiply,
)


@dataclass(frozen=True)
class InsertSite:
    """Where to insert a block, and its kernel size.

    Attributes:
        node: The node after which the block goes.
        kernel_size: Height and width of the convolution's kernel.
        normalize: Whether the block has a batch norm; otherwise its convolution has a bias.
    """

    node: str
    kernel_size: int
    normalize: bool = True


@dataclass(frozen=True)
class InsertConvolution(Operator):
    """Insert a Conv-BatchNorm-ReLU block that starts as the identity.

    Attributes:
        kernel_sizes: The kernel sizes to choose from, odd.
    """

    kernel_sizes: tuple[int, ...] = KERNEL_SIZES
    name = "insert_convolution"
    exact = True
    site = InsertSite

    def _sites(self, graph: Graph) -> Iterator[InsertSite]:
        return (InsertSite(name, k) for name in non_negative(graph) for k in self.kernel_sizes)

    def _refusal(self, graph: Graph, site: InsertSite) -> str | None:
        name, size, shape = site.node, site.kernel_size, graph.shapes()[site.node]
        if len(shape) != 3:
            return f"{name!r} outputs shape {shape}, not images"
        if name in graph.outputs:
            return f"{name!r} is the output"
        if name not in non_negative(graph):
            return _sign_refusal(graph, name)
        if size not in self.kernel_sizes:
            expected = ", ".join(map(str, self.kernel_sizes))
            return f"the kernel size is {size}; expected one of {expected}"
        if size // 2 >= min(shape[:2]):
            return (
                f"a kernel of size {size} is too large for the {shape[0]}x{shape[1]} images of"
                f" {name!r}: some of its weights would never meet a pixel; expected at most"
                f" {2 * min(shape[:2]) - 1}"
            )
        return None

    def _apply(self, graph: Graph, site: InsertSite, rng: np.random.Generator) -> Change:
        if not site.normalize:
            convolution = insert_linear(graph, site.node, site.kernel_size, use_bias=True)
            relu = repeat_idempotent(graph, convolution, ReLU(), "relu")
            return Change(graph, affected=(convolution, relu))
        convolution = insert_linear(graph, site.node, site.kernel_size)
        # The convolution is the identity, so the statistics of its output are those of the node,
        # whose layers an estimate can be based on.
        normalization = insert_affine(graph, convolution, like=site.node)
        relu = repeat_idempotent(graph, normalization, ReLU(), "relu")
        return Change(
            graph,
            affected=(convolution, normalization, relu),
            repairs=(MeasureStatistics(normalization, identity=True),),
        )


def _sign_refusal(graph: Graph, name: str) -> str:
    later = next((n for n in non_negative(graph) if name in graph.ancestors(n)), None)
    advice = f"; the next layer where a block can be inserted is {later!r}" if later else ""
    return (
        f"the output of {name!r} ({kind_name(graph[name].layer)}) may be negative, which the"
        f" ReLU of the block would change{advice}"
    )


def non_negative(graph: Graph) -> Mapping[str, None]:
    """Return the nodes whose values are never negative, for all weights that training may give.

    Returns:
        Their names as keys, in topological order.
    """
    sums = graph.cached("convex_sums", _convex_sums)
    if all(_is_convex(graph[name]) for name in sums):
        return graph.cached("non_negative", _non_negative)
    return _non_negative(graph)  # setting lambda does not empty the cache


def _convex_sums(graph: Graph) -> tuple[str, ...]:
    return tuple(name for name, node in graph.items() if isinstance(node.layer, ConvexSum))


def _is_convex(node: Node) -> bool:
    """Return whether lambda is in [0, 1], where training keeps it; in older files it may not be."""
    return bool(0 <= node.weights.get("lambda", 0) <= 1)


def _non_negative(graph: Graph) -> Mapping[str, None]:
    proven: dict[str, None] = {}
    for name in graph.topological_order():
        node = graph[name]
        if (
            _never_negative(node.layer)
            or (_preserves_sign(node) and all(i in proven for i in node.inputs))
            or (isinstance(node.layer, Maximum) and any(i in proven for i in node.inputs))
        ):
            proven[name] = None
    return proven


def _never_negative(layer: Layer) -> bool:
    if isinstance(layer, Activation):
        return layer.activation in _NEVER_NEGATIVE
    return isinstance(layer, ReLU) and layer.negative_slope == 0


def _preserves_sign(node: Node) -> bool:
    layer = node.layer
    if isinstance(layer, ConvexSum):
        return _is_convex(node)
    if isinstance(layer, Rescaling):
        return bool(np.min(layer.scale) >= 0 and np.min(layer.offset) >= 0)
    return isinstance(layer, _PRESERVE_SIGN)
