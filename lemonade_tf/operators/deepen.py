"""Insert a Conv-BatchNorm-ReLU block: a network morphism (section 3.1, item 1).

Equations 4, 5 and 7 together (see `morphisms`). The convolution starts as the identity (1 at the
centre, from each channel to itself), as in Net2DeeperNet; the batch norm starts with
gamma = sqrt(variance + epsilon) and beta = mean of the statistics that it normalises by, which
undoes the normalisation; and the ReLU changes nothing where its input is not negative:

    ReLU(gamma * (x - mean) / sqrt(variance + epsilon) + beta) = x    for x >= 0

So the block goes only where values are proven not to be negative: after a ReLU, and on through
pooling, concatenation and the like, but not after a convex sum, whose lambda may leave [0, 1].
(The paper says that scale and offset start as the batch variance and mean; it is the standard
deviation that makes equation 5 hold.)

The paper leaves the kernel size open: it is drawn from {3, 5}. The block has as many filters as the
channels that it reads, which the identity needs. A kernel that reaches over the image in height
or width from every place on it (5x5 on 2x2 or 8x2) has weights that meet no pixel anywhere, and is
left out; so on images one pixel high or wide only 1x1 is possible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import (
    Activation,
    Add,
    AveragePooling2D,
    Concatenate,
    Cropping2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    Multiply,
    ReLU,
    Rescaling,
    Reshape,
    ZeroPadding2D,
)
from lemonade_tf.operators.base import Change, MeasureStatistics, Operator
from lemonade_tf.operators.morphisms import insert_affine, insert_linear, repeat_idempotent

KERNEL_SIZES = (3, 5)
_NEVER_NEGATIVE = ("relu", "relu6", "sigmoid", "hard_sigmoid", "softplus", "softmax")
_KEEP_THE_SIGN = (
    MaxPooling2D,
    AveragePooling2D,
    GlobalAveragePooling2D,
    ZeroPadding2D,
    Cropping2D,
    Reshape,
    Dropout,
    Flatten,
    Concatenate,
    Add,
    Multiply,
)


@dataclass(frozen=True)
class InsertSite:
    """Behind `node`, with this kernel size."""

    node: str
    kernel_size: int


@dataclass(frozen=True)
class InsertConvolution(Operator):
    """Insert a Conv-BatchNorm-ReLU block that starts as the identity.

    Args:
        kernel_sizes: Those of the convolution to choose from, odd.
    """

    kernel_sizes: tuple[int, ...] = KERNEL_SIZES
    name = "insert_convolution"
    exact = True
    site = InsertSite

    def _sites(self, graph: Graph) -> Iterator[InsertSite]:
        shapes = graph.shapes()
        for name in non_negative(graph):
            if len(shapes[name]) == 3 and name != graph.output:
                for size in self.kernel_sizes:
                    if size // 2 < min(shapes[name][:2]):
                        yield InsertSite(name, size)

    def _why_not(self, graph: Graph, site: InsertSite) -> str:
        name, size, shape = site.node, site.kernel_size, graph.shapes()[site.node]
        kind = type(graph[name].layer).__name__
        if len(shape) != 3:
            return f"{name!r} puts out shape {shape}, not images"
        if name == graph.output:
            return f"{name!r} is the output"
        if name not in non_negative(graph):
            behind = [n for n in non_negative(graph) if name in graph.ancestors(n)]
            near = f"; the next layer behind it where it can go is {behind[0]!r}" if behind else ""
            return (
                f"what {name!r} ({kind}) puts out may be negative, and the ReLU of the block would"
                f" change that{near}"
            )
        if size not in self.kernel_sizes:
            expected = ", ".join(map(str, self.kernel_sizes))
            return f"the kernel size is {size}; expected one of {expected}"
        most = 2 * min(shape[:2]) - 1
        return (
            f"a kernel of size {size} is too large for the {shape[0]}x{shape[1]} of {name!r}, where"
            f" weights of it would meet no pixel; at most {most} is possible"
        )

    def _apply(self, graph: Graph, site: InsertSite, rng: np.random.Generator) -> Change:
        convolution = insert_linear(graph, site.node, site.kernel_size)
        normalization = insert_affine(graph, convolution, like=site.node)
        relu = repeat_idempotent(graph, normalization, ReLU(), "relu")
        return Change(
            graph,
            affected=(convolution, normalization, relu),
            repairs=(MeasureStatistics(normalization, identity=True),),
        )


def non_negative(graph: Graph) -> tuple[str, ...]:
    """Return the nodes whose values are never negative, whatever the weights, in order."""
    return graph.cached("non_negative", _non_negative)


def _non_negative(graph: Graph) -> tuple[str, ...]:
    proven: dict[str, None] = {}
    for name in graph.topological_order():
        node = graph[name]
        if _never_negative(node.layer) or (
            _keeps_the_sign(node.layer) and all(i in proven for i in node.inputs)
        ):
            proven[name] = None
    return tuple(proven)


def _never_negative(layer: Layer) -> bool:
    if isinstance(layer, Activation):
        return layer.activation in _NEVER_NEGATIVE
    return isinstance(layer, ReLU)


def _keeps_the_sign(layer: Layer) -> bool:
    if isinstance(layer, Rescaling):
        return np.min(layer.scale) >= 0 and np.min(layer.offset) >= 0
    return isinstance(layer, _KEEP_THE_SIGN)
