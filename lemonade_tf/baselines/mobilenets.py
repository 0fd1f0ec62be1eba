"""MobileNet V1 (Howard et al., 2017) and V2 (Sandler et al., 2018), adapted for CIFAR-10.

"We replaced three blocks with stride 2 with identical blocks with stride 1 ... so that there are
the same number of stride 1 blocks between all stride 2 blocks" (footnote 3). Of the five layers of
stride 2 the two are left that come closest to this: the seventh and the thirteenth of V1's 14
convolutions (6, 5 and 1 of stride 1 before, between and after them), and the seventh and the
fourteenth of V2's 18 (6, 6 and 4).

The numbers of parameters are those of Table 2: V1 has Keras's, 40,911, 221,114, 834,666 and
3,239,114 with alpha 0.1, 0.25, 0.5 and 1 (the paper: 40K, 221K, 834K, 3.2M). V2 rounds the numbers
of channels down and scales its last convolution like the others, which gives 67,546, 231,746,
847,269 and 3,224,204 with alpha 0.15, 0.3, 0.6 and 1.2 (the paper: 68K, 232K, 850K, 3.2M); Keras's
V2 rounds to multiples of 8 and has 1,280 channels there at the least.
"""

from __future__ import annotations

from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Add, DepthwiseConv2D, ReLU, Shape
from lemonade_tf.search_spaces.network_builder import NetworkBuilder

_RELU6 = ReLU(6.0)
# (channels, stride) per block.
_V1_BLOCKS = (
    (64, 1),
    (128, 1),
    (128, 1),
    (256, 1),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
# (expansion, channels, repetitions, stride of the first).
_V2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 1),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v1(input_shape: Shape, num_classes: int, *, alpha: float = 1.0, **ends: Any) -> Graph:
    """Return a MobileNet V1 with new weights.

    Args:
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        alpha: The factor of all numbers of channels, rounded down; the paper has 0.1 to 1.2.
        **ends: Further arguments of `NetworkBuilder`: rescaling, rng.

    Raises:
        ValueError: If alpha leaves a layer without channels, or the task is too small.
    """
    build = NetworkBuilder(input_shape, num_classes, **ends)
    at = build.convolution("conv", _scaled(32, alpha), build.start, kernel_size=3, then=_RELU6)
    for number, (channels, stride) in enumerate(_V1_BLOCKS, 1):
        depthwise = DepthwiseConv2D(3, strides=stride)
        at = build.normalized(f"depthwise_{number}", depthwise, at, then=_RELU6)
        at = build.convolution(f"pointwise_{number}", _scaled(channels, alpha), at, then=_RELU6)
    return build.finish(at)


def mobilenet_v2(input_shape: Shape, num_classes: int, *, alpha: float = 1.0, **ends: Any) -> Graph:
    """Return a MobileNet V2 with new weights.

    Args:
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        alpha: The factor of all numbers of channels, rounded down; the paper has 0.1 to 1.2.
        **ends: Further arguments of `NetworkBuilder`: rescaling, rng.

    Raises:
        ValueError: If alpha leaves a layer without channels, or the task is too small.
    """
    build = NetworkBuilder(input_shape, num_classes, **ends)
    at = build.convolution("conv", _scaled(32, alpha), build.start, kernel_size=3, then=_RELU6)
    blocks = (
        (expansion, _scaled(channels, alpha), stride if repetition == 0 else 1)
        for expansion, channels, repetitions, stride in _V2_STAGES
        for repetition in range(repetitions)
    )
    for number, (expansion, channels, stride) in enumerate(blocks):
        at = _inverted_residual(build, number, at, expansion, channels, stride)
    at = build.convolution("last_conv", _scaled(1280, alpha), at, then=_RELU6)
    return build.finish(at)


def _inverted_residual(
    build: NetworkBuilder, number: int, source: str, expansion: int, channels: int, stride: int
) -> str:
    """Add a block: expand, filter each channel, project; add the input where shapes agree."""
    inputs, at = build.shape(source)[-1], source
    if expansion > 1:
        at = build.convolution(f"expand_{number}", expansion * inputs, at, then=_RELU6)
    depthwise = DepthwiseConv2D(3, strides=stride)
    at = build.normalized(f"depthwise_{number}", depthwise, at, then=_RELU6)
    at = build.convolution(f"project_{number}", channels, at)
    return (
        build.add(f"add_{number}", Add(), source, at) if (inputs, 1) == (channels, stride) else at
    )


def _scaled(channels: int, alpha: float) -> int:
    """Return a number of channels times alpha, rounded down."""
    scaled = int(channels * alpha)
    if scaled < 1:
        raise ValueError(
            f"alpha is {alpha!r}, which leaves no channel of {channels}; expected at least"
            f" {1 / channels}."
        )
    return scaled
