"""Activation functions as layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lemonade_tf.architecture.layer import Layer, Shape, ShapeError

# Activations of each value separately: channel j of the output depends on channel j of the input
# and on nothing else. (The exponential of a new channel may be infinite, which a weight of zero
# does not remove; but it is rarely used.)
ELEMENTWISE_ACTIVATIONS = (
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "tanh",
    "tanh_shrink",
)
ACTIVATIONS = (*ELEMENTWISE_ACTIVATIONS, "softmax", "log_softmax")


class _ShapePreserving(Layer):
    """A layer whose output has the shape of its input. Abstract."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]


@dataclass(frozen=True)
class ReLU(_ShapePreserving):
    """max(x, 0), with variants.

    Attributes:
        max_value: The largest value; None for no limit.
        negative_slope: Below the threshold, the output is negative_slope * (x - threshold).
        threshold: The smallest value that stays as it is.
    """

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.max_value is not None:
            object.__setattr__(self, "max_value", float(self.max_value))
        for name in ("negative_slope", "threshold"):
            value = float(getattr(self, name))
            if not value >= 0:
                raise ValueError(f"{name} is {value}; expected a number of at least 0.")
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class LeakyReLU(_ShapePreserving):
    """x for x >= 0, else negative_slope * x."""

    negative_slope: float = 0.3

    def __post_init__(self) -> None:
        object.__setattr__(self, "negative_slope", float(self.negative_slope))


@dataclass(frozen=True)
class ELU(_ShapePreserving):
    """x for x >= 0, else alpha * (exp(x) - 1)."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", float(self.alpha))


@dataclass(frozen=True)
class PReLU(_ShapePreserving):
    """x for x >= 0, else alpha * x, with a learned weight alpha.

    Attributes:
        shared_axes: The axes along which alpha is the same, counted from 1; (1, 2) for an alpha per
            channel.
    """

    shared_axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.shared_axes is not None:
            object.__setattr__(self, "shared_axes", tuple(self.shared_axes))

    def output_shape(self, *inputs: Shape) -> Shape:
        axes = range(1, len(inputs[0]) + 1)
        if not set(self.shared_axes or ()).issubset(axes):
            raise ShapeError(
                f"PReLU with shared_axes={self.shared_axes} got an input of shape {inputs[0]}."
            )
        return inputs[0]

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        sizes = enumerate(inputs[0], 1)
        return {"alpha": tuple(1 if self.shares(axis) else size for axis, size in sizes)}

    def shares(self, axis: int) -> bool:
        """Return whether alpha is the same along an axis, counted from 1."""
        return axis in (self.shared_axes or ())


@dataclass(frozen=True)
class Activation(_ShapePreserving):
    """A Keras activation function, by name."""

    activation: str

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}."
            )
