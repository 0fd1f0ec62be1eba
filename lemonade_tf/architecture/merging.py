"""Layers that merge several tensors into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lemonade_tf.architecture.layer import Layer, Shape, ShapeError


@dataclass(frozen=True)
class Elementwise(Layer):
    """A function of one or more inputs, value by value; sizes of 1 are broadcast. Abstract.

    Squeeze-and-excitation multiplies an image (height, width, channels) by a gate (1, 1, channels).
    """

    num_inputs: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        first = inputs[0]
        if all(shape == first for shape in inputs):
            return first
        sizes = [set(column) - {1} for column in zip(*inputs, strict=False)]
        if len({len(shape) for shape in inputs}) > 1 or any(len(found) > 1 for found in sizes):
            raise ShapeError(
                f"{type(self).__name__} got inputs of shapes {', '.join(map(str, inputs))};"
                " expected equal sizes, or 1."
            )
        return tuple(found.pop() if found else 1 for found in sizes)


@dataclass(frozen=True)
class Add(Elementwise):
    """The sum of the inputs."""


@dataclass(frozen=True)
class Subtract(Elementwise):
    """The first input minus the second."""

    num_inputs: ClassVar[int | None] = 2


@dataclass(frozen=True)
class Multiply(Elementwise):
    """The product of the inputs."""


@dataclass(frozen=True)
class Average(Elementwise):
    """The mean of the inputs."""


@dataclass(frozen=True)
class Maximum(Elementwise):
    """The largest of the inputs."""


@dataclass(frozen=True)
class Minimum(Elementwise):
    """The smallest of the inputs."""


@dataclass(frozen=True)
class ConvexSum(Layer):
    """(1 - lambda) x + lambda y for inputs x and y and a learnable number lambda.

    As in section 3.1, lambda is the weight of the *second* input: it starts at 0, and x is the
    original output. (Equation 8 swaps the two.) The weight is named "lambda" and has shape ().
    Training keeps it in [0, 1].

    lambda is not a parameter of the saved model, in which it is folded into two Rescaling layers
    and an Add.
    """

    num_inputs: ClassVar[int | None] = 2

    def output_shape(self, *inputs: Shape) -> Shape:
        x, y = inputs
        if x != y:
            raise ShapeError(f"ConvexSum got inputs of shapes {x}, {y}; expected equal shapes.")
        return x

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        return {"lambda": ()}

    def num_parameters(self, *inputs: Shape) -> int:
        return 0


@dataclass(frozen=True)
class Concatenate(Layer):
    """The inputs, one or more, concatenated along the channels."""

    num_inputs: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        if any(shape[:-1] != inputs[0][:-1] for shape in inputs):
            raise ShapeError(
                f"Concatenate got inputs of shapes {', '.join(map(str, inputs))}; expected shapes"
                " that differ only in their channels."
            )
        return (*inputs[0][:-1], sum(shape[-1] for shape in inputs))
