"""Layers that rearrange, select or resample the values of an image."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
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

# ((top, bottom), (left, right)). Constructors also accept less, as in Keras, and convert it.
Borders = Any


def _as_borders(value: Any, name: str) -> Borders:
    """Return ((top, bottom), (left, right)) from one number, two or four, as Keras accepts."""
    pairs = (value, value) if isinstance(value, int) else tuple(value)
    sides = tuple((p, p) if isinstance(p, int) else tuple(p) for p in pairs)
    numbers = [n for side in sides for n in side]
    if (
        [len(side) for side in sides] != [2, 2]
        or not all(isinstance(n, int) for n in numbers)
        or min(numbers) < 0
    ):
        raise ValueError(
            f"{name} is {value!r}; expected ((top, bottom), (left, right)), none of them negative."
        )
    top, bottom, left, right = numbers
    return ((top, bottom), (left, right))


@dataclass(frozen=True)
class ZeroPadding2D(Layer):
    """Zeros around the image.

    Attributes:
        padding: ((top, bottom), (left, right)); also (height, width), or one number for all.
    """

    padding: Borders = ((1, 1), (1, 1))

    def __post_init__(self) -> None:
        object.__setattr__(self, "padding", _as_borders(self.padding, "padding"))

    def output_shape(self, *inputs: Shape) -> Shape:
        check_image(self, inputs[0])
        height, width, channels = inputs[0]
        return (height + sum(self.padding[0]), width + sum(self.padding[1]), channels)


@dataclass(frozen=True)
class Cropping2D(Layer):
    """The image without its borders.

    Attributes:
        cropping: ((top, bottom), (left, right)); also (height, width), or one number for all.
    """

    cropping: Borders = ((0, 0), (0, 0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "cropping", _as_borders(self.cropping, "cropping"))

    def output_shape(self, *inputs: Shape) -> Shape:
        check_image(self, inputs[0])
        height = inputs[0][0] - sum(self.cropping[0])
        width = inputs[0][1] - sum(self.cropping[1])
        if height < 1 or width < 1:
            raise ShapeError(
                f"Cropping2D of {self.cropping} got an input of shape {inputs[0]}; expected an"
                " image larger than what is cropped."
            )
        return (height, width, inputs[0][-1])


@dataclass(frozen=True)
class Reshape(Layer):
    """The same values in row-major order in another shape.

    Attributes:
        target_shape: The sizes; one may be -1 and is inferred.
    """

    target_shape: Shape

    def __post_init__(self) -> None:
        shape = tuple(self.target_shape)
        valid = shape and all(isinstance(n, int) and (n > 0 or n == -1) for n in shape)
        if not valid or shape.count(-1) > 1:
            raise ValueError(
                f"target_shape is {self.target_shape!r}; expected positive integers, one of which"
                " may be -1."
            )
        object.__setattr__(self, "target_shape", shape)

    def output_shape(self, *inputs: Shape) -> Shape:
        size, known = prod(inputs[0]), prod(n for n in self.target_shape if n > 0)
        if size % known or (-1 not in self.target_shape and size != known):
            raise ShapeError(
                f"Reshape to {self.target_shape} got an input of shape {inputs[0]}; its {size}"
                " values do not fit."
            )
        return tuple(size // known if n == -1 else n for n in self.target_shape)


@dataclass(frozen=True)
class Flatten(Layer):
    """All values in one row: the channel varies fastest, then the column, then the row."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return (prod(inputs[0]),)


@dataclass(frozen=True)
class Permute(Layer):
    """The axes in another order.

    Attributes:
        dims: For each axis of the output, the axis of the input, counted from 1.
    """

    dims: Shape

    def __post_init__(self) -> None:
        dims = tuple(self.dims)
        if sorted(dims) != list(range(1, len(dims) + 1)):
            raise ValueError(f"dims is {self.dims!r}; expected a permutation of 1, 2, ...")
        object.__setattr__(self, "dims", dims)

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs[0]) != len(self.dims):
            raise ShapeError(
                f"Permute of {self.dims} got an input of shape {inputs[0]}; expected"
                f" {len(self.dims)} axes."
            )
        return tuple(inputs[0][axis - 1] for axis in self.dims)


@dataclass(frozen=True)
class ChannelSlice(Layer):
    """The channels from `start` to before `stop`; Keras has no layer for it, but x[..., a:b].

    A split of channels, as by `keras.ops.split`, consists of several.
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        are_integers = isinstance(self.start, int) and isinstance(self.stop, int)
        if not are_integers or not 0 <= self.start < self.stop:
            raise ValueError(
                f"start is {self.start!r} and stop is {self.stop!r}; expected 0 <= start < stop."
            )

    def output_shape(self, *inputs: Shape) -> Shape:
        if self.stop > inputs[0][-1]:
            raise ShapeError(
                f"ChannelSlice up to channel {self.stop} got an input of {inputs[0][-1]} channels."
            )
        return (*inputs[0][:-1], self.stop - self.start)


# --- Other resolutions ---------------------------------------------------------------------------

# Both give weighted means of pixels, with positive weights; bicubic interpolation, for example,
# does not.
INTERPOLATIONS = ("nearest", "bilinear")


def _check_interpolation(value: str) -> None:
    if value not in INTERPOLATIONS:
        raise ValueError(f"interpolation is {value!r}; expected {' or '.join(INTERPOLATIONS)}.")


@dataclass(frozen=True)
class UpSampling2D(Layer):
    """Each pixel repeated, or values interpolated between pixels.

    Attributes:
        size: How many rows and columns a pixel becomes.
        interpolation: "nearest" or "bilinear".
    """

    size: Pair = (2, 2)
    interpolation: str = "nearest"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_pair(self.size, "size"))
        _check_interpolation(self.interpolation)

    def output_shape(self, *inputs: Shape) -> Shape:
        check_image(self, inputs[0])
        height, width, channels = inputs[0]
        return (height * self.size[0], width * self.size[1], channels)


@dataclass(frozen=True)
class Resizing(Layer):
    """The image in another resolution, without antialiasing.

    Attributes:
        height: Height of the output.
        width: Width of the output.
        interpolation: "nearest" or "bilinear".
    """

    height: int
    width: int
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        check_positive(self.height, "height")
        check_positive(self.width, "width")
        _check_interpolation(self.interpolation)

    def output_shape(self, *inputs: Shape) -> Shape:
        check_image(self, inputs[0])
        return (self.height, self.width, inputs[0][-1])
