"""Search space I: whole networks (sections 5.1 and A.4.1).

The operators define the space; it has no upper limit. A network must keep at least three
(depthwise-separable) convolutions and a minimum number of filters, "which lead to a lower bound
on the number of parameters of approximately 10 000". The paper does not give that minimum, and no
single number leads to that bound for both kinds of convolution without excluding the paper's own
initial networks. So the bound on parameters is enforced directly: 10,000 at 32x32, and at least 8
filters per convolution. For smaller images both shrink with the side of the image, the parameters
with its square (kernels grow with the square of the filters): 625 parameters and 4 filters at 8x8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.layers import (
    Activation,
    Conv2D,
    Dense,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    ReLU,
    Rescaling,
    SeparableConv2D,
    Shape,
)
from lemonade_tf.operators import APPROXIMATE, EXACT, Operator
from lemonade_tf.operators.blocks import is_projection
from lemonade_tf.operators.initial import NORMALIZATION, initial_weights
from lemonade_tf.search_spaces.space import DEFAULT_RESCALING, SearchSpace, check_task

# Three Conv-BatchNorm-ReLU blocks each, with 15,232, 51,149, 101,605 and 400,758 parameters at
# 32x32x3 with 10 classes (the paper: 15 000, 50 000, 100 000 and 400 000, two of them separable).
INITIAL_FILTERS = (
    (Conv2D, (14, 26, 46)),
    (SeparableConv2D, (72, 136, 256)),
    (SeparableConv2D, (96, 192, 384)),
    (Conv2D, (68, 132, 264)),
)


@dataclass(frozen=True)
class NetworkSpace(SearchSpace):
    """Search space I.

    Attributes:
        initial_width: Width multiplier of the initial networks. If it is less than 1, the minimums
            are those of smaller images, so that children can be smaller as well.
        min_convolutions: The minimum number of convolutions.
        min_filters: The minimum number of filters, if it is less than `minimum_filters`.
        min_parameters: The minimum number of parameters, if it is less than `minimum_parameters`.
    """

    name: str = "networks"
    exact: tuple[Operator, ...] = field(default=EXACT)
    approximate: tuple[Operator, ...] = field(default=APPROXIMATE)
    max_operators: int = 3
    initial_width: float = 1.0
    min_convolutions: int = 3
    min_filters: float = inf
    min_parameters: float = inf

    def initial_graphs(
        self,
        input_shape: Shape,
        num_classes: int,
        *,
        rescaling: Rescaling = DEFAULT_RESCALING,
        rng: np.random.Generator | None = None,
    ) -> tuple[Graph, ...]:
        """Return the four initial networks, by size (A.4.1), with new weights.

        Three blocks with max pooling between them (while the image has two pixels per side), then
        global average pooling and a dense layer with softmax. `initial_width` scales the filters,
        down to the minimum of the space. For the arguments, see `SearchSpace.initial_graphs`.
        """
        check_task(input_shape, num_classes)
        rng = np.random.default_rng(0) if rng is None else rng
        fewest = minimum_filters(min(input_shape[:2]), self.initial_width)
        scaled = dict.fromkeys(  # narrow ones may be equal
            (kind, tuple(max(min(fewest, n), round(n * self.initial_width)) for n in filters))
            for kind, filters in INITIAL_FILTERS
        )
        shapes = (_initial(c, f, input_shape, num_classes, rescaling) for c, f in scaled)
        return tuple(initial_weights(graph, rng=rng) for graph in shapes)

    def allows(self, graph: Graph) -> bool:
        """Return whether a network is in the space: enough convolutions, filters, parameters."""
        filters = _filters(graph)
        side = min(graph.shapes()[graph.input][:2])
        return (
            len(filters) >= self.min_convolutions
            and min(filters, default=inf)
            >= min(minimum_filters(side, self.initial_width), self.min_filters)
            and count_parameters(graph)
            >= min(minimum_parameters(side, self.initial_width), self.min_parameters)
        )

    def including(self, graphs: Sequence[Graph]) -> NetworkSpace:
        """Return the space with minimums no larger than networks have; see `SearchSpace`."""
        return replace(
            self,
            min_convolutions=min(self.min_convolutions, *(len(_filters(g)) for g in graphs)),
            min_filters=min(self.min_filters, *(n for g in graphs for n in _filters(g))),
            min_parameters=min(self.min_parameters, *map(count_parameters, graphs)),
        )


NETWORKS = NetworkSpace()


def minimum_filters(side: int, initial_width: float = 1.0) -> int:
    """Return the minimum number of filters of a convolution, for images of this side in pixels."""
    return max(4, round(8 * _scale(side, initial_width)))


def minimum_parameters(side: int, initial_width: float = 1.0) -> int:
    """Return the minimum number of parameters of a network, for images of this side in pixels."""
    return round(10_000 * _scale(side, initial_width) ** 2)


def _scale(side: int, initial_width: float) -> float:
    """Return what the minimums of the paper are scaled by.

    Narrow initial networks lower them as small images do, but not below those of 8x8 pixels.
    """
    scale = min(1, side / 32)
    return min(scale, max(1 / 4, scale * initial_width))


def _filters(graph: Graph) -> list[int]:
    """Return the filters of the convolutions, except those of skips."""
    layers = [node.layer for _, node in graph.items()]
    convolutions = (each for each in layers if isinstance(each, Conv2D | SeparableConv2D))
    return [layer.filters for layer in convolutions if not is_projection(layer)]


def _initial(
    convolution: type, filters: Sequence[int], input_shape: Shape, num_classes: int, rescaling: Any
) -> Graph:
    graph = Graph()
    at = graph.add("input", Input(tuple(input_shape)))
    at = graph.add("rescaling", rescaling, [at])
    for number, width in enumerate(filters, 1):
        at = graph.add(f"conv_{number}", convolution(width, 3), [at])
        at = graph.add(f"bn_{number}", NORMALIZATION, [at])
        at = graph.add(f"relu_{number}", ReLU(), [at])
        side = min(input_shape[:2]) >> (number - 1)
        if number < len(filters) and side >= 2:
            at = graph.add(f"pool_{number}", MaxPooling2D((2, 2)), [at])
    at = graph.add("global_pool", GlobalAveragePooling2D(), [at])
    at = graph.add("logits", Dense(num_classes), [at])
    graph.output = graph.add("softmax", Activation("softmax"), [at])
    return graph
