"""The base class of layers: frozen values that know the shapes of their output and weights.

Shapes leave out the batch: (height, width, channels) or (features,). Images are channels-last.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, ClassVar

from lemonade_tf.errors import LemonadeError

Shape = tuple[int, ...]
# (height, width). Constructors also accept one number for both, as in Keras, and convert it, which
# type checkers cannot express.
Pair = Any


class ShapeError(LemonadeError, ValueError):
    """The shapes of a layer's inputs do not fit the layer."""


@dataclass(frozen=True)
class Layer:
    """A layer without its weights. Abstract, but not an `abc.ABC`: proposals check layer kinds
    constantly, and isinstance is ten times slower with an ABC.

    Attributes:
        num_inputs: The number of inputs; None for one or more. Only the kind Input has none.
    """

    num_inputs: ClassVar[int | None] = 1

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the output, without the batch.

        Raises:
            ShapeError: If the layer cannot take inputs of these shapes.
        """
        raise NotImplementedError(f"{type(self).__name__} is abstract.")

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        """Return the shape of each weight by its name in Keras."""
        return {}

    def num_parameters(self, *inputs: Shape) -> int:
        """Return the number of parameters that the layer has in a saved model."""
        return sum(prod(shape) for shape in self.weight_shapes(*inputs).values())


@lru_cache(maxsize=65536)
def arguments(layer: Layer) -> Mapping[str, Any]:
    """Return the arguments of a layer by name, as in its constructor."""
    return {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}


# --- Checks of arguments and shapes ------------------------------------------------------------


def as_pair(value: Any, name: str) -> tuple[int, int]:
    """Return (height, width) from one number or two, as Keras accepts both."""
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int) and v > 0 for v in pair):
        raise ValueError(f"{name} is {value!r}; expected a positive integer or two of them.")
    return pair


def check_positive(value: int, name: str) -> None:
    """Raise unless an argument is a positive integer."""
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a positive integer.")


def check_image(layer: Layer, shape: Shape) -> None:
    """Raise unless the input of a layer is an image."""
    if len(shape) != 3:
        raise ShapeError(
            f"{type(layer).__name__} got an input of shape {shape}; expected an image (height,"
            " width, channels)."
        )
