"""NASNet-A (Zoph et al., 2018) for small images, built from the cells of Keras's NASNet.

Three blocks of N normal cells, with a reduction cell between them, which halves the resolution and
doubles the number of filters. The paper varies N and the number of filters F in the last block
(A.4.3): N of 2, 4, 6 or 8, and F of 96, 192, 384, 768 or 1,536. As in "N @ F" of Zoph et al., F
counts the channels that the last cell outputs: six times as many as its convolutions have.
"""

from __future__ import annotations

from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import (
    Add,
    AveragePooling2D,
    Concatenate,
    MaxPooling2D,
    ReLU,
    SeparableConv2D,
    Shape,
)
from lemonade_tf.search_spaces.network_builder import NetworkBuilder

_AVERAGE = AveragePooling2D(3, strides=1, padding="same")


def nasnet(
    input_shape: Shape,
    num_classes: int,
    *,
    cells_per_block: int = 6,
    filters: int = 768,
    **ends: Any,
) -> Graph:
    """Return a NASNet-A with new weights.

    Args:
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        cells_per_block: The number N of normal cells in each of the three blocks.
        filters: The number F of channels that the last cell outputs, a multiple of 24.
        **ends: Further arguments of `NetworkBuilder`: rescaling, rng.

    Raises:
        ValueError: If the number of filters is not a positive multiple of 24, there is no cell, or
            the task is too small.
    """
    if filters < 24 or filters % 24:
        raise ValueError(f"filters is {filters!r}; expected a positive multiple of 24.")
    if cells_per_block < 1:
        raise ValueError(f"cells_per_block is {cells_per_block!r}; expected at least 1.")
    build = NetworkBuilder(input_shape, num_classes, **ends)
    width = filters // 24
    at = before = build.convolution("stem", 3 * width, build.start, kernel_size=3)
    for block in range(3):
        if block:
            at, before = (
                _reduction_cell(build, f"reduction_{block}", at, before, width << block),
                at,
            )
        for number in range(cells_per_block):
            name = f"normal_{block}_{number}"
            at, before = _normal_cell(build, name, at, before, width << block), at
    return build.finish(build.add("last_relu", ReLU(), at))


def _normal_cell(build: NetworkBuilder, name: str, source: str, before: str, width: int) -> str:
    """Add a cell that keeps the resolution (Figure 4 of Zoph et al.)."""
    p = _adjusted(build, f"{name}_before", before, source, width)
    h = _projected(build, f"{name}_input", source, width)

    def average(part: str, at: str) -> str:
        return build.add(f"{name}_{part}", _AVERAGE, at)

    def separable(part: str, at: str, kernel_size: int) -> str:
        return _separable(build, f"{name}_{part}", at, width, kernel_size)

    sums = (
        (separable("1_left", h, 5), separable("1_right", p, 3)),
        (separable("2_left", p, 5), separable("2_right", p, 3)),
        (average("3_left", h), p),
        (average("4_left", p), average("4_right", p)),
        (separable("5_left", h, 3), h),
    )
    parts = (build.add(f"{name}_{i}", Add(), *pair) for i, pair in enumerate(sums, 1))
    return build.add(name, Concatenate(), p, *parts)


def _reduction_cell(build: NetworkBuilder, name: str, source: str, before: str, width: int) -> str:
    """Add a cell of stride 2 (Figure 4 of Zoph et al.)."""
    p = _adjusted(build, f"{name}_before", before, source, width)
    h = _projected(build, f"{name}_input", source, width)

    def pool(part: str, kind: Any) -> str:
        return build.add(f"{name}_{part}", kind(3, strides=2, padding="same"), h)

    def separable(part: str, at: str, kernel_size: int, stride: int = 2) -> str:
        return _separable(build, f"{name}_{part}", at, width, kernel_size, stride)

    def total(part: str, first: str, second: str) -> str:
        return build.add(f"{name}_{part}", Add(), first, second)

    first = total("1", separable("1_left", h, 5), separable("1_right", p, 7))
    second = total("2", pool("2_left", MaxPooling2D), separable("2_right", p, 7))
    third = total("3", pool("3_left", AveragePooling2D), separable("3_right", p, 5))
    fourth = total("4", second, build.add(f"{name}_4_right", _AVERAGE, first))
    fifth = total("5", separable("5_left", first, 3, 1), pool("5_right", MaxPooling2D))
    return build.add(name, Concatenate(), second, third, fourth, fifth)


def _separable(
    build: NetworkBuilder, name: str, at: str, width: int, kernel_size: int, stride: int = 1
) -> str:
    """Add two separable convolutions, each after a ReLU and before batch normalization."""
    for part, strides in (("a", stride), ("b", 1)):
        at = build.add(f"{name}_{part}_relu", ReLU(), at)
        layer = SeparableConv2D(width, kernel_size, strides=strides)
        at = build.normalized(f"{name}_{part}", layer, at)
    return at


def _projected(build: NetworkBuilder, name: str, source: str, width: int) -> str:
    """Add a ReLU, a 1x1 convolution and batch normalization."""
    at = build.add(f"{name}_relu", ReLU(), source)
    return build.convolution(name, width, at)


def _adjusted(build: NetworkBuilder, name: str, before: str, source: str, width: int) -> str:
    """Return the output of the cell before the last, with the resolution and width of a cell."""
    if build.shape(before)[:2] == build.shape(source)[:2]:
        same = build.shape(before)[-1] == width
        return before if same else _projected(build, name, before, width)
    return build.halved(name, width, before)
