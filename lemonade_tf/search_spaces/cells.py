"""Search space II: cells (sections 5.1 and A.4.2).

The search evolves a cell, in a network that repeats it (see `architecture.cells`). Networks are
graphs as in search space I, so everything else works on both alike; `extract_cell` recovers
(cell, n, F) from one. A child is made by one operator, at the same place in all cells
(`operators.in_cells`). Size and shape of a cell are not limited. It must keep a
(depthwise-separable) convolution, and each convolution at least 4 filters in the first block, 16 in
the last. (The paper does not say how many; Figure 14 shows the smallest cell of its space.) So the
smallest cell is one depthwise-separable 3x3 convolution with 4 filters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph, Node
from lemonade_tf.architecture.cells import (
    INPUT,
    NUM_BLOCKS,
    Cell,
    CellError,
    cell_network,
    extract_cell,
)
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.layers import Conv2D, ReLU, Rescaling, SeparableConv2D, Shape
from lemonade_tf.operators import APPROXIMATE_IN_CELLS, EXACT_IN_CELLS, Operator
from lemonade_tf.operators.blocks import is_projection
from lemonade_tf.operators.initial import NORMALIZATION, initial_weights
from lemonade_tf.search_spaces.space import DEFAULT_RESCALING, SearchSpace, check_task

FILTERS = (128, 256)
CELLS_PER_BLOCK = 2
MIN_FILTERS = 4  # of a convolution, in the first block


@dataclass(frozen=True)
class CellSpace(SearchSpace):
    """Search space II.

    Attributes:
        filters: The values of F, the filters in the last block, of the initial networks.
        cells_per_block: n, the cells of stride 1 in each block.
        min_filters: The minimum number of filters of a convolution, in the first block.

    Raises:
        ValueError: If F is not a multiple of 4 or is so small that the initial cells would not be
            in the space, or if n is less than 1.
    """

    name: str = "cells"
    exact: tuple[Operator, ...] = field(default=EXACT_IN_CELLS)
    approximate: tuple[Operator, ...] = field(default=APPROXIMATE_IN_CELLS)
    max_operators: int = 1
    filters: tuple[int, ...] = FILTERS
    cells_per_block: int = CELLS_PER_BLOCK
    min_filters: int = MIN_FILTERS

    def __post_init__(self) -> None:
        widening = 2 ** (NUM_BLOCKS - 1)
        for filters in self.filters:
            if filters % widening or filters < widening * MIN_FILTERS:
                raise ValueError(
                    f"filters is {filters}; expected a multiple of {widening} that is at least"
                    f" {widening * MIN_FILTERS}, because the first of {NUM_BLOCKS} blocks has"
                    f" {filters} / {widening} of them."
                )
        if not self.filters or self.cells_per_block < 1:
            raise ValueError(
                f"filters is {self.filters} and cells_per_block is {self.cells_per_block}; expected"
                " at least one F and at least one cell per block."
            )

    def initial_graphs(
        self,
        input_shape: Shape,
        num_classes: int,
        *,
        rescaling: Rescaling = DEFAULT_RESCALING,
        rng: np.random.Generator | None = None,
    ) -> tuple[Graph, ...]:
        """Return the initial networks, by size (A.4.2), with new weights: two per value of F.

        Their cells are one convolution, and one depthwise-separable convolution. For the arguments,
        see `SearchSpace.initial_graphs`.
        """
        check_task(input_shape, num_classes)
        rng = np.random.default_rng(0) if rng is None else rng
        shapes = [
            cell_network(
                _initial(convolution, filters),
                cells_per_block=self.cells_per_block,
                filters=filters,
                input_shape=input_shape,
                num_classes=num_classes,
                rescaling=rescaling,
                normalization=NORMALIZATION,
            )
            for convolution in (Conv2D, SeparableConv2D)
            for filters in self.filters
        ]
        by_size = sorted(shapes, key=count_parameters)
        return tuple(initial_weights(graph, rng=rng) for graph in by_size)

    def allows(self, graph: Graph) -> bool:
        """Return whether a network is in the space: one cell with enough filters throughout."""
        try:
            cell, _, _ = extract_cell(graph)
        except CellError:
            return False
        filters = tuple(_filters(cell))
        return bool(filters) and min(filters) >= self.min_filters

    def including(self, graphs: Sequence[Graph]) -> CellSpace:
        """Return the space with a minimum no larger than networks have; see `SearchSpace`."""
        found = (number for graph in graphs for number in _filters(extract_cell(graph)[0]))
        return replace(self, min_filters=min(self.min_filters, *found))


CELLS = CellSpace()


def _initial(convolution: Any, filters: int) -> Cell:
    """Return the cell of one Conv-BatchNorm-ReLU block."""
    first = filters // 2 ** (NUM_BLOCKS - 1)
    nodes = {
        "conv_1": Node(convolution(first, 3), (INPUT,)),
        "bn_1": Node(NORMALIZATION, ("conv_1",)),
        "relu_1": Node(ReLU(), ("bn_1",)),
    }
    return Cell(nodes, "relu_1", filters)


def _filters(cell: Cell) -> Iterator[int]:
    """Yield the filters of the convolutions in the first block, except those of skips."""
    for node in cell.nodes.values():
        layer = node.layer
        if isinstance(layer, Conv2D | SeparableConv2D) and not is_projection(layer):
            yield layer.filters
