"""The layers that lay the values of an image out differently, without computing anything."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from lemonade_tf.architecture.layer import Layer, Shape, ShapeError, check_image

Borders = tuple[tuple[int, int], tuple[int, int]]


def _as_borders(value: Any, what: str) -> Borders:
    """Return ((top, bottom), (left, right)) of what Keras takes: one number, two, or four."""
    pairs = (value, value) if isinstance(value, int) else tuple(value)
    sides = tuple((p, p) if isinstance(p, int) else tuple(p) for p in pairs)
    numbers = [n for side in sides for n in side]
    if (
        [len(side) for side in sides] != [2, 2]
        or not all(isinstance(n, int) for n in numbers)
        or min(numbers) < 0
    ):
        raise ValueError(
            f"{what} is {value!r}; expected ((top, bottom), (left, right)), none of them negative."
        )
    return sides


@dataclass(frozen=True)
class ZeroPadding2D(Layer):
    """Zeros around the image.

    Args:
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

    Args:
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
                f"Cropping2D of {self.cropping} leaves nothing of an image of shape {inputs[0]}."
            )
        return (height, width, inputs[0][-1])


@dataclass(frozen=True)
class Reshape(Layer):
    """The same values, row by row, in another shape.

    Args:
        target_shape: Sizes, of which one may be -1, for whatever is left.
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
                f"Reshape cannot make the {size} values of shape {inputs[0]} into"
                f" {self.target_shape}."
            )
        return tuple(size // known if n == -1 else n for n in self.target_shape)


@dataclass(frozen=True)
class Flatten(Layer):
    """All values in one row: the channel runs fastest, then the column, then the row."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return (prod(inputs[0]),)
