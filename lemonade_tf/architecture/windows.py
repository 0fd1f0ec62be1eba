"""Layers that slide a window over an image: convolutions and pooling.

With padding "same" a side of n pixels and stride s gives ceil(n / s) windows: Keras pads with zeros
where windows stick out. With "valid" only windows that fit count: (n - window) // s + 1. A kernel
of size k with dilation rate d has a window of (k - 1) d + 1 pixels, of which it uses every d-th.

A transposed convolution goes the other way: each input pixel adds the kernel, times its value, to
the output at s times its position. "same" gives n * s pixels, "valid" (n - 1) s + max(window, s).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lemonade_tf.architecture.layer import (
    Layer,
    Pair,
    Shape,
    ShapeError,
    as_pair,
    check_image,
    check_positive,
)


@lru_cache(maxsize=65536)
def _num_windows(size: int, window: int, stride: int, padding: str) -> int:
    if padding == "same":
        return -(-size // stride)
    return (size - window) // stride + 1


def _spatial_output(layer: Any, shape: Shape, window: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) of the output of a layer with strides and padding."""
    check_image(layer, shape)
    height = _num_windows(shape[0], window[0], layer.strides[0], layer.padding)
    width = _num_windows(shape[1], window[1], layer.strides[1], layer.padding)
    if height < 1 or width < 1:
        raise ShapeError(
            f"{type(layer).__name__} with a window of {window} and padding 'valid' got an input of"
            f" shape {shape}; expected an image at least as large as the window."
        )
    return height, width


def _normalize_window(layer: Any, window: str) -> None:
    """Make pairs of a layer's window and strides, and check its padding."""
    object.__setattr__(layer, window, as_pair(getattr(layer, window), window))
    strides = getattr(layer, window) if layer.strides is None else layer.strides
    object.__setattr__(layer, "strides", as_pair(strides, "strides"))
    if layer.padding not in ("same", "valid"):
        raise ValueError(f"padding is {layer.padding!r}; expected 'same' or 'valid'.")


def _normalize_kernel(layer: Any) -> None:
    """Make pairs of a convolution's kernel size, strides and dilation rate, and check them."""
    _normalize_window(layer, "kernel_size")
    object.__setattr__(layer, "dilation_rate", as_pair(layer.dilation_rate, "dilation_rate"))
    if layer.dilation_rate != (1, 1) and layer.strides != (1, 1):
        raise ValueError(
            f"strides is {layer.strides} and dilation_rate is {layer.dilation_rate}; expected one"
            " of them to be 1."
        )


def dilated_window(layer: Any) -> tuple[int, int]:
    """Return the height and width of the pixels between the corners of a convolution's kernel."""
    (height, width), (down, right) = layer.kernel_size, layer.dilation_rate
    return (height - 1) * down + 1, (width - 1) * right + 1


@dataclass(frozen=True)
class Conv2D(Layer):
    """A convolution. Weights: kernel (height, width, in, out) and, with use_bias, bias (out,).

    With groups, the input channels and the filters are both divided into that many blocks of equal
    size. The filters of a block are applied to the channels of the same block only, and the kernel
    is (height, width, in / groups, out).
    """

    filters: int
    kernel_size: Pair = (3, 3)
    strides: Pair = (1, 1)
    padding: str = "same"
    use_bias: bool = False
    groups: int = 1
    dilation_rate: Pair = (1, 1)

    def __post_init__(self) -> None:
        check_positive(self.filters, "filters")
        check_positive(self.groups, "groups")
        if self.filters % self.groups:
            raise ValueError(
                f"filters is {self.filters}; expected a multiple of the {self.groups} groups."
            )
        _normalize_kernel(self)

    def output_shape(self, *inputs: Shape) -> Shape:
        spatial = _spatial_output(self, inputs[0], dilated_window(self))
        if inputs[0][-1] % self.groups:
            raise ShapeError(
                f"Conv2D with {self.groups} groups got an input of {inputs[0][-1]} channels;"
                " expected a multiple of the groups."
            )
        return (*spatial, self.filters)

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        kernel = (*self.kernel_size, inputs[0][-1] // self.groups, self.filters)
        return {"kernel": kernel, **({"bias": (self.filters,)} if self.use_bias else {})}


@dataclass(frozen=True)
class DepthwiseConv2D(Layer):
    """A convolution of each channel separately.

    Output channel ``i * depth_multiplier + k`` is computed from input channel ``i``. Weights:
    kernel (height, width, in, depth_multiplier) and, with use_bias, bias (in * depth_multiplier,).
    """

    kernel_size: Pair = (3, 3)
    strides: Pair = (1, 1)
    padding: str = "same"
    depth_multiplier: int = 1
    use_bias: bool = False
    dilation_rate: Pair = (1, 1)

    def __post_init__(self) -> None:
        check_positive(self.depth_multiplier, "depth_multiplier")
        _normalize_kernel(self)

    def output_shape(self, *inputs: Shape) -> Shape:
        channels = inputs[0][-1] * self.depth_multiplier
        return (*_spatial_output(self, inputs[0], dilated_window(self)), channels)

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        channels = inputs[0][-1]
        kernel = (*self.kernel_size, channels, self.depth_multiplier)
        bias = {"bias": (channels * self.depth_multiplier,)} if self.use_bias else {}
        return {"kernel": kernel, **bias}


@dataclass(frozen=True)
class SeparableConv2D(Layer):
    """A depthwise convolution followed by a 1x1 convolution.

    Weights: depthwise_kernel (height, width, in, depth_multiplier), pointwise_kernel
    (1, 1, in * depth_multiplier, out) and, with use_bias, bias (out,).
    """

    filters: int
    kernel_size: Pair = (3, 3)
    strides: Pair = (1, 1)
    padding: str = "same"
    depth_multiplier: int = 1
    use_bias: bool = False
    dilation_rate: Pair = (1, 1)

    def __post_init__(self) -> None:
        check_positive(self.filters, "filters")
        check_positive(self.depth_multiplier, "depth_multiplier")
        _normalize_kernel(self)

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*_spatial_output(self, inputs[0], dilated_window(self)), self.filters)

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        channels = inputs[0][-1]
        return {
            "depthwise_kernel": (*self.kernel_size, channels, self.depth_multiplier),
            "pointwise_kernel": (1, 1, channels * self.depth_multiplier, self.filters),
            **({"bias": (self.filters,)} if self.use_bias else {}),
        }


@dataclass(frozen=True)
class Conv2DTranspose(Layer):
    """A transposed convolution: a learned upsampling.

    Weights: kernel (height, width, out, in), other than that of a convolution, and, with use_bias,
    bias (out,).

    Attributes:
        output_padding: (height, width) of additional output pixels; None for Keras's default.
    """

    filters: int
    kernel_size: Pair = (3, 3)
    strides: Pair = (1, 1)
    padding: str = "same"
    use_bias: bool = False
    output_padding: Pair = None
    dilation_rate: Pair = (1, 1)

    def __post_init__(self) -> None:
        check_positive(self.filters, "filters")
        _normalize_kernel(self)
        if self.output_padding is not None:
            given = self.output_padding
            pair = (given, given) if isinstance(given, int) else tuple(given)
            if len(pair) != 2 or any(
                not 0 <= extra < stride for extra, stride in zip(pair, self.strides, strict=True)
            ):
                raise ValueError(
                    f"output_padding is {given!r}; expected numbers from 0 to less than the"
                    f" strides {self.strides}."
                )
            object.__setattr__(self, "output_padding", pair)

    def output_shape(self, *inputs: Shape) -> Shape:
        check_image(self, inputs[0])
        window = dilated_window(self)
        sides = zip(inputs[0][:2], window, self.strides, self._extra(window), strict=True)
        if self.padding == "valid":
            height, width = ((n - 1) * s + w + extra for n, w, s, extra in sides)
        elif self.output_padding is None:
            height, width = (n * s for n, _, s, _ in sides)
        else:
            height, width = ((n - 1) * s + w % 2 + extra for n, w, s, extra in sides)
        return (height, width, self.filters)

    def _extra(self, window: tuple[int, int]) -> tuple[int, int]:
        if self.output_padding is not None:
            return self.output_padding
        height, width = (max(0, s - w) for s, w in zip(self.strides, window, strict=True))
        return height, width

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        kernel = (*self.kernel_size, self.filters, inputs[0][-1])
        return {"kernel": kernel, **({"bias": (self.filters,)} if self.use_bias else {})}


@dataclass(frozen=True)
class Pooling2D(Layer):
    """One value per window and channel. Abstract.

    Attributes:
        pool_size: The window.
        strides: None stands for strides of pool_size, and is replaced by it.
        padding: "same" or "valid".
    """

    pool_size: Pair = (2, 2)
    strides: Pair = None
    padding: str = "valid"

    def __post_init__(self) -> None:
        _normalize_window(self, "pool_size")

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*_spatial_output(self, inputs[0], self.pool_size), inputs[0][-1])


@dataclass(frozen=True)
class MaxPooling2D(Pooling2D):
    """The maximum of each window, per channel."""


@dataclass(frozen=True)
class AveragePooling2D(Pooling2D):
    """The mean of each window, per channel."""


@dataclass(frozen=True)
class GlobalPooling2D(Layer):
    """One value of the whole image per channel: (channels,), or (1, 1, channels). Abstract.

    Attributes:
        keepdims: Whether the output is an image of one pixel.
    """

    keepdims: bool = False

    def output_shape(self, *inputs: Shape) -> Shape:
        check_image(self, inputs[0])
        return (1, 1, inputs[0][-1]) if self.keepdims else inputs[0][-1:]


@dataclass(frozen=True)
class GlobalAveragePooling2D(GlobalPooling2D):
    """The mean of the image, per channel."""


@dataclass(frozen=True)
class GlobalMaxPooling2D(GlobalPooling2D):
    """The maximum of the image, per channel."""
