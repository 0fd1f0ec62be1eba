"""Model augmentation: a cell in a larger or smaller network (section A.4.3).

"We scale the size of models built from cells by varying the number of cells n in {2, 4, 6, 8} per
block and the number of filters F in {64, 128, 256, 512} in the last block." Also for images of
another size and for other classes (the transfer of section 5.2).
"""

from __future__ import annotations

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

    A node inherits the weights that it has in the network it comes from, if all have the shapes
    that it needs: of the same place in its block, or of the last cell there if that has fewer.
    Otherwise they are new.

    Args:
        source: A network of cells, or a cell.
        cells_per_block: n, the cells of stride 1 in each block.
        filters: F, the filters in the last block, of the cell as it was found: operators may since
            have given its convolutions more or less than F of them, which scale along.
        input_shape: (height, width, channels) of the images; by default as in the network.
        num_classes: The number of classes; by default as in the network.
        rescaling: What raw pixels, 0 to 255, go through first; by default as in the network, or to
            -1 to 1 where the channels of the images differ.
        rng: Draws new weights; by default numpy.random.default_rng(0).

    Raises:
        CellError: The network is not made of cells; n or F makes no network; or a cell comes
            without a shape of images or a number of classes.
        ValueError: The images are smaller than 2x2, or there are fewer than two classes.
    """
    cell = source
    if isinstance(source, Graph):
        cell, _, _ = extract_cell(source)
        shape = source[source.input].layer.shape
        input_shape = shape if input_shape is None else input_shape
        num_classes = source["logits"].layer.units if num_classes is None else num_classes
        if rescaling is None and input_shape[-1] == shape[-1]:
            rescaling = source["rescaling"].layer
    if input_shape is None or num_classes is None:
        raise CellError(
            f"input_shape is {input_shape} and num_classes {num_classes}; a cell alone does not"
            " tell them: give both."
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
    """Return the node of the source at the place of each node in a cell."""
    origins = {}
    cell, cells_per_block, _ = extract_cell(graph)
    _, there_per_block, _ = extract_cell(source)
    for number in range(1, num_cells(cells_per_block) + 1):
        origin = _same_place(number, cells_per_block, there_per_block)
        for local in cell.nodes:
            origins[network_name(number, local)] = network_name(origin, local)
    return origins


def _same_place(number: int, cells_per_block: int, there_per_block: int) -> int:
    """Return the cell of another network that is at the same place, or the last in its block."""
    block = block_index(number, cells_per_block)
    place = number - block * (cells_per_block + 1)  # 0 for the cell of stride 2
    return block * (there_per_block + 1) + min(place, there_per_block)
