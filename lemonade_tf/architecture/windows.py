"""The layers that slide a window over an image: convolutions and pooling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lemonade_tf.architecture.layer import (
    Layer,
    Shape,
    ShapeError,
    as_pair,
    check_image,
    check_positive,
)


@lru_cache(maxsize=65536)
def _window_output(size: int, window: int, stride: int, padding: str) -> int:
    if padding == "same":
        return -(-size // stride)
    return (size - window) // stride + 1


@dataclass(frozen=True)
class Windowed(Layer):
    """A layer that slides a window over the image."""

    def _spatial(self, shape: Shape, window: tuple[int, int]) -> tuple[int, int]:
        check_image(self, shape)
        height = _window_output(shape[0], window[0], self.strides[0], self.padding)
        width = _window_output(shape[1], window[1], self.strides[1], self.padding)
        if height < 1 or width < 1:
            raise ShapeError(
                f"{type(self).__name__} with a window of {window} and padding 'valid' does not fit"
                f" into an image of shape {shape}."
            )
        return height, width


def _check_window(layer: Any, window: str) -> None:
    object.__setattr__(layer, window, as_pair(getattr(layer, window), window))
    strides = getattr(layer, window) if layer.strides is None else layer.strides
    object.__setattr__(layer, "strides", as_pair(strides, "strides"))
    if layer.padding not in ("same", "valid"):
        raise ValueError(f"padding is {layer.padding!r}; expected 'same' or 'valid'.")


@dataclass(frozen=True)
class Conv2D(Windowed):
    """A convolution. Weights: kernel (height, width, in, out) and, with use_bias, bias (out,).

    With groups, the channels of the input and the filters are each cut into so many blocks of equal
    size; the filters of a block read the channels of theirs, and the kernel is
    (height, width, in / groups, out).
    """

    filters: int
    kernel_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    padding: str = "same"
    use_bias: bool = False
    groups: int = 1

    def __post_init__(self) -> None:
        check_positive(self.filters, "filters")
        check_positive(self.groups, "groups")
        if self.filters % self.groups:
            raise ValueError(f"{self.filters} filters are not a multiple of {self.groups} groups.")
        _check_window(self, "kernel_size")

    def output_shape(self, *inputs: Shape) -> Shape:
        spatial = self._spatial(inputs[0], self.kernel_size)
        if inputs[0][-1] % self.groups:
            raise ShapeError(
                f"Conv2D of {self.groups} groups reads a multiple of so many channels, not"
                f" {inputs[0][-1]}."
            )
        return (*spatial, self.filters)

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        kernel = (*self.kernel_size, inputs[0][-1] // self.groups, self.filters)
        return {"kernel": kernel, **({"bias": (self.filters,)} if self.use_bias else {})}


@dataclass(frozen=True)
class DepthwiseConv2D(Windowed):
    """A convolution of each channel alone.

    Output channel ``i * depth_multiplier + k`` reads input channel ``i``. Weights: kernel
    (height, width, in, depth_multiplier) and, with use_bias, bias (in * depth_multiplier,).
    """

    kernel_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    padding: str = "same"
    depth_multiplier: int = 1
    use_bias: bool = False

    def __post_init__(self) -> None:
        check_positive(self.depth_multiplier, "depth_multiplier")
        _check_window(self, "kernel_size")

    def output_shape(self, *inputs: Shape) -> Shape:
        channels = inputs[0][-1] * self.depth_multiplier
        return (*self._spatial(inputs[0], self.kernel_size), channels)

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        channels = inputs[0][-1]
        kernel = (*self.kernel_size, channels, self.depth_multiplier)
        bias = {"bias": (channels * self.depth_multiplier,)} if self.use_bias else {}
        return {"kernel": kernel, **bias}


@dataclass(frozen=True)
class SeparableConv2D(Windowed):
    """A depthwise convolution followed by a 1x1 convolution.

    Weights: depthwise_kernel (height, width, in, depth_multiplier), pointwise_kernel
    (1, 1, in * depth_multiplier, out) and, with use_bias, bias (out,).
    """

    filters: int
    kernel_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    padding: str = "same"
    depth_multiplier: int = 1
    use_bias: bool = False

    def __post_init__(self) -> None:
        check_positive(self.filters, "filters")
        check_positive(self.depth_multiplier, "depth_multiplier")
        _check_window(self, "kernel_size")

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*self._spatial(inputs[0], self.kernel_size), self.filters)

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        channels = inputs[0][-1]
        return {
            "depthwise_kernel": (*self.kernel_size, channels, self.depth_multiplier),
            "pointwise_kernel": (1, 1, channels * self.depth_multiplier, self.filters),
            **({"bias": (self.filters,)} if self.use_bias else {}),
        }


@dataclass(frozen=True)
class Pooling2D(Windowed):
    """One number for each window, a channel at a time. Abstract."""

    pool_size: tuple[int, int] = (2, 2)
    strides: tuple[int, int] | None = None
    padding: str = "valid"

    def __post_init__(self) -> None:
        _check_window(self, "pool_size")

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*self._spatial(inputs[0], self.pool_size), inputs[0][-1])


@dataclass(frozen=True)
class MaxPooling2D(Pooling2D):
    """The largest value in each window, a channel at a time."""


@dataclass(frozen=True)
class AveragePooling2D(Pooling2D):
    """The mean of each window, a channel at a time."""
