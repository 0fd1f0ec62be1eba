"""Cells in the Shake-Shake architecture (Gastaldi, 2017): the networks of Table 1.

"Cells are employed within a well performing, hand crafted architecture, meaning one replaces
repeating building blocks in the architecture with discovered cells. [...] For LEMONADE, we employ
the discovered cells within the Shake-Shake architecture" (section 5.1). Gastaldi's network for
CIFAR, "26 2x32d", is a 3x3 convolution with 16 filters and three stages of n = 4 residual blocks

    x + (branch_1(x) + branch_2(x)) / 2

with 32, 64 and 128 channels; the first block of the second and of the third stage halves the
resolution. A branch is ReLU-Conv-BatchNorm-ReLU-Conv-BatchNorm, with 3x3 convolutions. Where the
shape changes, the skip has ReLU, 1x1 convolutions and batch normalization. A last ReLU, global
average pooling and the classifier follow. Half the sum is an Average, which `retrain --shake_shake`
makes random in training (see `architecture.branches`).

The paper does not say how a cell fits into a block. Here it replaces the convolutions of each
branch, in two copies with weights of their own:

    ReLU - cell - 1x1 convolution - BatchNorm

- The ReLU is that of Gastaldi's branch. The inputs of cells are never negative in the networks of
  the search, either.
- A cell has any number of channels, and those of its input among them if it ends with a
  concatenation; the sum requires those of the block. The 1x1 convolution provides them. As in
  Gastaldi's network, a branch ends with batch normalization: a sum over blocks that all end with a
  ReLU, as cells do, could only grow.
- The cell has the numbers of filters of the network of cells with F filters in the last block: the
  stages have F/4, F/2 and F channels. So F = 128 belongs to "2x32d".
- Where the resolution is halved, 2x2 max pooling precedes the cell, as in networks of cells.
"""

from __future__ import annotations

from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cells import (
    INPUT,
    NUM_BLOCKS,
    Cell,
    check_sizes,
    in_block,
)
from lemonade_tf.architecture.layers import Add, Average, MaxPooling2D, ReLU, Shape
from lemonade_tf.search_spaces.network_builder import NetworkBuilder

BLOCKS_PER_STAGE = 4  # of Gastaldi's networks of depth 26
_STEM = 16


def shake_shake(
    input_shape: Shape,
    num_classes: int,
    *,
    cell: Cell | None = None,
    cells_per_block: int = BLOCKS_PER_STAGE,
    filters: int = 128,
    **ends: Any,
) -> Graph:
    """Return a Shake-Shake network with new weights.

    Args:
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        cell: The cell of both branches; None for Gastaldi's two convolutions.
        cells_per_block: The number n of residual blocks in each stage, each with two cells.
        filters: The number F of channels of the last stage, a multiple of 4.
        **ends: Further arguments of `NetworkBuilder`: rescaling, rng.

    Raises:
        CellError: If n or F is invalid.
        ValueError: If the task is too small.
    """
    check_sizes(cells_per_block, filters)
    if cell is not None and filters != cell.filters:
        cell = cell.scaled(filters)
    build = NetworkBuilder(input_shape, num_classes, **ends)
    at = build.convolution("stem", _STEM, build.start, kernel_size=3)
    for stage in range(NUM_BLOCKS):
        width = filters >> (NUM_BLOCKS - 1 - stage)
        for number in range(cells_per_block):
            halves = stage > 0 and number == 0
            name = f"block_{stage + 1}_{number + 1}"
            branches = [
                _branch(build, f"{name}_{part}", at, cell, width, stage, halves=halves)
                for part in ("a", "b")
            ]
            mean = build.add(f"{name}_mean", Average(), *branches)
            skip = _skip(build, f"{name}_skip", at, width, halves=halves)
            at = build.add(name, Add(), skip, mean)
    return build.finish(build.add("last_relu", ReLU(), at))


def _branch(
    build: NetworkBuilder,
    name: str,
    source: str,
    cell: Cell | None,
    width: int,
    stage: int,
    *,
    halves: bool,
) -> str:
    """Add a branch, Gastaldi's or that of a cell."""
    at = build.add(f"{name}_start", ReLU(), source)
    if cell is None:
        strides = 2 if halves else 1
        at = build.convolution(f"{name}_1", width, at, kernel_size=3, strides=strides, then=ReLU())
        return build.convolution(f"{name}_2", width, at, kernel_size=3)
    if halves:
        at = build.add(f"{name}_pool", MaxPooling2D(2, padding="same"), at)
    names = {INPUT: at}
    for local in cell.graph.topological_order()[1:]:
        node = cell.nodes[local]
        inputs = (names[source] for source in node.inputs)
        names[local] = build.add(f"{name}_{local}", in_block(node.layer, 2**stage), *inputs)
    return build.convolution(f"{name}_last", width, names[cell.output])


def _skip(build: NetworkBuilder, name: str, source: str, width: int, *, halves: bool) -> str:
    """Add the skip of a block: the identity unless the shape changes."""
    if halves:
        return build.halved(name, width, source)
    if build.shape(source)[-1] == width:
        return source
    at = build.add(f"{name}_relu", ReLU(), source)
    return build.convolution(name, width, at)


def num_nodes(cell: Cell, cells_per_block: int) -> int:
    """Return an upper bound of the number of nodes of a network of a cell."""
    return NUM_BLOCKS * cells_per_block * (2 * (len(cell.nodes) + 4) + 2) + 12 * NUM_BLOCKS
