"""What every layer is: a frozen value that knows the shapes of its output and its weights.

Shapes leave out the batch: (height, width, channels) or (features,). Images are channels-last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lemonade_tf.errors import LemonadeError

Shape = tuple[int, ...]


class ShapeError(LemonadeError, ValueError):
    """A layer cannot read what it is given."""


@dataclass(frozen=True)
class Layer:
    """A layer without its weights. Abstract, but not an `abc.ABC`: asking whether a layer is of a
    kind is what a proposal does most, and isinstance is ten times slower on those.

    Attributes:
        num_inputs: How many inputs the layer reads; None for two or more.
    """

    num_inputs: ClassVar[int | None] = 1

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the output, without the batch.

        Raises:
            ShapeError: The layer cannot read inputs of these shapes.
        """
        raise NotImplementedError(f"{type(self).__name__} is abstract.")

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        """Return the shape of each weight by its name in Keras."""
        return {}


def as_pair(value: Any, what: str) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int) and v > 0 for v in pair):
        raise ValueError(f"{what} is {value!r}; expected a positive integer, or two of them.")
    return pair


def check_positive(value: int, what: str) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{what} is {value!r}; expected a positive integer.")


def check_image(layer: Layer, shape: Shape) -> None:
    if len(shape) != 3:
        raise ShapeError(
            f"{type(layer).__name__} reads images (height, width, channels), not shape {shape}."
        )
