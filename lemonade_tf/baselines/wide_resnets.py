"""Wide residual networks (Zagoruyko and Komodakis, 2016): WRN-d-k.

Three groups of residual blocks of two 3x3 convolutions, each after batch normalization and ReLU,
with 16 k, 32 k and 64 k filters at 32x32, 16x16 and 8x8. Chrabaszcz et al. (2017) train WRN-28-k on
ImageNet32x32, and on ImageNet64x64 WRN-36-k, which has a fourth group of 128 k filters; the paper
compares with them (section 5.2).
"""

from __future__ import annotations

from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Add, Conv2D, ReLU, Shape
from lemonade_tf.operators.initial import NORMALIZATION
from lemonade_tf.search_spaces.network_builder import NetworkBuilder


def wide_resnet(
    input_shape: Shape,
    num_classes: int,
    *,
    depth: int = 28,
    width: int = 10,
    num_groups: int = 3,
    **ends: Any,
) -> Graph:
    """Return a wide residual network with new weights.

    Args:
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        depth: The number d of convolutions, 4 + 2 `num_groups` n for n blocks per group: 28 or 40
            with three groups, 36 with four.
        width: The factor k of the numbers of filters.
        num_groups: The number of groups; each but the first halves the resolution.
        **ends: Further arguments of `NetworkBuilder`: rescaling, rng.

    Raises:
        ValueError: If no number of blocks gives this depth, or the task is too small.
    """
    blocks, rest = divmod(depth - 4, 2 * num_groups)
    if rest or blocks < 1:
        raise ValueError(
            f"depth is {depth!r}; expected 4 plus a positive multiple of {2 * num_groups}, twice"
            " the number of groups."
        )
    build = NetworkBuilder(input_shape, num_classes, **ends)
    at = build.add("stem", Conv2D(16, 3), build.start)
    for group in range(num_groups):
        for number in range(blocks):
            strides = 2 if group and number == 0 else 1
            name = f"block_{group + 1}_{number + 1}"
            at = _residual(build, name, at, (16 * width) << group, strides)
    return build.finish(_activated(build, "last", at))


def _residual(build: NetworkBuilder, name: str, source: str, filters: int, strides: int) -> str:
    """Add a block; where the shape changes, a 1x1 convolution replaces the identity."""
    start = _activated(build, f"{name}_a", source)
    at = build.add(f"{name}_a", Conv2D(filters, 3, strides=strides), start)
    at = build.add(f"{name}_b", Conv2D(filters, 3), _activated(build, f"{name}_b", at))
    if (build.shape(source)[-1], strides) != (filters, 1):
        source = build.add(f"{name}_shortcut", Conv2D(filters, 1, strides=strides), start)
    return build.add(name, Add(), source, at)


def _activated(build: NetworkBuilder, name: str, source: str) -> str:
    """Add batch normalization and ReLU."""
    at = build.add(f"{name}_bn", NORMALIZATION, source)
    return build.add(f"{name}_relu", ReLU(), at)
