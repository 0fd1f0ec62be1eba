"""Model augmentation: a cell in a larger or smaller network (section A.4.3).

"We scale the size of models built from cells by varying the number of cells n in {2, 4, 6, 8} per
block and the number of filters F in {64, 128, 256, 512} in the last block." The new network can
also be for images of another size and for other classes (the transfer of section 5.2).
"""

from __future__ import annotations

from typing import cast

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cells import (
    Cell,
    CellError,
    block_index,
    cell_network,
    extract_cell,
    network_name,
    num_cells,
)
from lemonade_tf.architecture.layers import Rescaling, Shape
from lemonade_tf.operators.initial import NORMALIZATION, inherited_weights, initial_weights
from lemonade_tf.search_spaces.space import DEFAULT_RESCALING, check_task


def augment(
    source: Graph | Cell,
    *,
    cells_per_block: int,
    filters: int,
    input_shape: Shape | None = None,
    num_classes: int | None = None,
    rescaling: Rescaling | None = None,
    rng: np.random.Generator | None = None,
) -> Graph:
    """Return the network of a cell with other numbers of cells and filters, with weights.

    A node inherits the weights of the node at the same place in the source network (the same cell
    of the block, or the last one if the source has fewer), if the shapes of all of them agree.
    Otherwise its weights are new.

    Args:
        source: A network of cells, or a cell.
        cells_per_block: n, the cells of stride 1 in each block.
        filters: F, the filters in the last block. A convolution to which operators gave more or
            fewer than F filters scales in proportion.
        input_shape: (height, width, channels) of the images; by default as in the network.
        num_classes: The number of classes; by default as in the network.
        rescaling: The rescaling of raw pixels, 0 to 255; by default as in the network, or to
            -1 to 1 if the number of channels differs.
        rng: Draws new weights; by default numpy.random.default_rng(0).

    Raises:
        CellError: If the network is not made of cells, if n or F is invalid, or if `source` is a
            cell and the shape of images or the number of classes is missing.
        ValueError: If the images are smaller than 2x2, or if there are fewer than two classes.
    """
    if isinstance(source, Graph):
        cell, _, _ = extract_cell(source)
        shapes = source.shapes()
        shape = shapes[source.input]
        input_shape = shape if input_shape is None else input_shape
        num_classes = shapes["logits"][-1] if num_classes is None else num_classes
        if rescaling is None and input_shape[-1] == shape[-1]:
            rescaling = cast(Rescaling, source["rescaling"].layer)
    else:
        cell = source
    if input_shape is None or num_classes is None:
        raise CellError(
            f"input_shape is {input_shape} and num_classes is {num_classes}; a cell needs both."
        )
    check_task(input_shape, num_classes)
    graph = cell_network(
        cell,
        cells_per_block=cells_per_block,
        filters=filters,
        input_shape=input_shape,
        num_classes=num_classes,
        rescaling=DEFAULT_RESCALING if rescaling is None else rescaling,
        normalization=NORMALIZATION,
    )
    rng = np.random.default_rng(0) if rng is None else rng
    if isinstance(source, Cell):
        return initial_weights(graph, rng=rng)
    return inherited_weights(graph, source, rng=rng, origins=_origins(graph, source))


def _origins(graph: Graph, source: Graph) -> dict[str, str]:
    """Return the node of the source at the same place, for each node in a cell."""
    origins = {}
    cell, cells_per_block, _ = extract_cell(graph)
    _, source_cells_per_block, _ = extract_cell(source)
    for number in range(1, num_cells(cells_per_block) + 1):
        origin = _same_place(number, cells_per_block, source_cells_per_block)
        for local in cell.nodes:
            origins[network_name(number, local)] = network_name(origin, local)
    return origins


def _same_place(number: int, cells_per_block: int, source_cells_per_block: int) -> int:
    """Return the number of the source's cell at the same place, or of the last in its block."""
    block = block_index(number, cells_per_block)
    place = number - block * (cells_per_block + 1)  # 0 for the cell of stride 2
    return block * (source_cells_per_block + 1) + min(place, source_cells_per_block)
