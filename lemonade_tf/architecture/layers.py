"""The layers that a network may consist of.

Each kind is a frozen dataclass with Keras's name and Keras's arguments, which knows two facts:
the shape of its output and the shapes of its weights. What else depends on the kind (cost,
flow of channels, conversion to Keras) is a function of its own, in the module for that idea.

An activation is a layer of its own, never an argument of another layer, so that operators see
one form only.

Those with a window are in `windows`, those that only lay values out differently in `reshaping`; all
are to be had from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from lemonade_tf.architecture.layer import Layer, Shape, ShapeError, check_image, check_positive
from lemonade_tf.architecture.reshaping import Cropping2D, Flatten, Reshape, ZeroPadding2D
from lemonade_tf.architecture.windows import (
    AveragePooling2D,
    Conv2D,
    DepthwiseConv2D,
    MaxPooling2D,
    Pooling2D,
    SeparableConv2D,
    Windowed,
)

# Activations that act on each value alone: channel j of the output depends on channel j of the
# input, and on nothing else.
ELEMENTWISE_ACTIVATIONS = (
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "leaky_relu",
    "linear",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanh",
)
ACTIVATIONS = (*ELEMENTWISE_ACTIVATIONS, "softmax", "log_softmax")


@dataclass(frozen=True)
class Input(Layer):
    """Where the images come in.

    Args:
        shape: (height, width, channels).
    """

    shape: Shape
    num_inputs: ClassVar[int | None] = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        for size in self.shape:
            check_positive(size, "a size in the shape of Input")

    def output_shape(self, *inputs: Shape) -> Shape:
        return self.shape


@dataclass(frozen=True)
class Rescaling(Layer):
    """x * scale + offset; scale and offset are numbers, or tuples with one number a channel."""

    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            value = getattr(self, name)
            plain = float(value) if isinstance(value, int | float) else tuple(map(float, value))
            object.__setattr__(self, name, plain)

    def output_shape(self, *inputs: Shape) -> Shape:
        _check_one_a_channel(self, ("scale", "offset"), inputs[0])
        return inputs[0]


def _check_one_a_channel(layer: Layer, names: tuple[str, ...], shape: Shape) -> None:
    for name in names:
        value = getattr(layer, name)
        if isinstance(value, tuple) and len(value) != shape[-1]:
            raise ShapeError(
                f"{type(layer).__name__} has a {name} of {len(value)} values; its input has"
                f" {shape[-1]} channels."
            )


@dataclass(frozen=True)
class Normalization(Layer):
    """(x - mean) / sqrt(variance), for the network's input.

    Args:
        mean: One number, or one a channel; None where `adapt` measured it, and where it is a
            weight then, as are variance and count, a number that Keras keeps and does not use.
        variance: Likewise; given if and only if mean is.
    """

    mean: float | tuple[float, ...] | None = None
    variance: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.variance is None):
            raise ValueError(
                f"mean is {self.mean!r} and variance is {self.variance!r}; expected both or none."
            )
        for name in ("mean", "variance"):
            value = getattr(self, name)
            if value is not None:
                plain = float(value) if isinstance(value, int | float) else tuple(map(float, value))
                object.__setattr__(self, name, plain)

    def output_shape(self, *inputs: Shape) -> Shape:
        _check_one_a_channel(self, ("mean", "variance"), inputs[0])
        return inputs[0]

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        if self.mean is not None:
            return {}
        channels = (inputs[0][-1],)
        return {"mean": channels, "variance": channels, "count": ()}


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, a channel at a time.

    With Keras's epsilon, 1e-3, a layer of mean 0, variance 1 and gamma 1 is not the identity;
    gamma = sqrt(variance + epsilon), beta = mean is.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        for name in ("momentum", "epsilon"):
            object.__setattr__(self, name, float(getattr(self, name)))

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        channels = (inputs[0][-1],)
        return {
            **({"gamma": channels} if self.scale else {}),
            **({"beta": channels} if self.center else {}),
            "moving_mean": channels,
            "moving_variance": channels,
        }


@dataclass(frozen=True)
class ReLU(Layer):
    """max(x, 0) or, with a max_value, min(max(x, 0), max_value)."""

    max_value: float | None = None

    def __post_init__(self) -> None:
        if self.max_value is not None:
            object.__setattr__(self, "max_value", float(self.max_value))

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]


@dataclass(frozen=True)
class Activation(Layer):
    """One of Keras's activation functions, by its name."""

    activation: str

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}."
            )

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]


@dataclass(frozen=True)
class GlobalAveragePooling2D(Layer):
    """The mean of the whole image, a channel at a time: (channels,), or (1, 1, channels)."""

    keepdims: bool = False

    def output_shape(self, *inputs: Shape) -> Shape:
        check_image(self, inputs[0])
        return (1, 1, inputs[0][-1]) if self.keepdims else inputs[0][-1:]


@dataclass(frozen=True)
class Dropout(Layer):
    """Zeros a share of the values while training; the identity otherwise.

    Args:
        rate: The share.
        noise_shape: Batch, height, width, channels: 1 where the values are zeroed together, None
            where each for itself. (None, 1, 1, 1) drops whole images: stochastic depth.
    """

    rate: float
    noise_shape: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise ValueError(f"rate is {self.rate!r}; expected a share in [0, 1).")
        object.__setattr__(self, "rate", float(self.rate))
        if self.noise_shape is not None:
            object.__setattr__(self, "noise_shape", tuple(self.noise_shape))
            if not set(self.noise_shape) <= {1, None}:
                raise ValueError(f"noise_shape is {self.noise_shape!r}; expected 1 and None only.")

    def output_shape(self, *inputs: Shape) -> Shape:
        if self.noise_shape is not None and len(self.noise_shape) != len(inputs[0]) + 1:
            raise ShapeError(
                f"Dropout has a noise_shape of {len(self.noise_shape)} sizes; its input has"
                f" {len(inputs[0]) + 1}, the batch included."
            )
        return inputs[0]


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer. Weights: kernel (in, out) and, with use_bias, bias (out,)."""

    units: int
    use_bias: bool = True

    def __post_init__(self) -> None:
        check_positive(self.units, "units")

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*inputs[0][:-1], self.units)

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        kernel = (inputs[0][-1], self.units)
        return {"kernel": kernel, **({"bias": (self.units,)} if self.use_bias else {})}


def _same_shapes(layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
    if any(shape != inputs[0] for shape in inputs):
        raise ShapeError(
            f"{type(layer).__name__} needs inputs of one shape; they are"
            f" {', '.join(map(str, inputs))}."
        )
    return inputs[0]


@dataclass(frozen=True)
class Add(Layer):
    """The sum of two or more inputs of one shape."""

    num_inputs: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        return _same_shapes(self, inputs)


@dataclass(frozen=True)
class Multiply(Layer):
    """The product of two or more inputs; a size of 1 goes with any other.

    Squeeze-and-excitation multiplies an image (height, width, channels) by a gate (1, 1, channels).
    """

    num_inputs: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        sizes = [set(column) - {1} for column in zip(*inputs, strict=False)]
        if len({len(shape) for shape in inputs}) > 1 or any(len(found) > 1 for found in sizes):
            raise ShapeError(
                "Multiply needs inputs whose sizes are the same, or 1; they are"
                f" {', '.join(map(str, inputs))}."
            )
        return tuple(found.pop() if found else 1 for found in sizes)


@dataclass(frozen=True)
class ConvexSum(Layer):
    """(1 - lambda) x + lambda y for its inputs x and y, with a learnable number lambda.

    Section 3.1 starts lambda at 0 with x the original output; equation 8 counts it from the
    other end. Here, as in section 3.1, lambda is the weight of the *second* input. It is a plain
    weight, free to leave [0, 1]. The weight is named "lambda" and has shape ().

    lambda is not among the parameters of the saved model, where it is folded into two Rescaling
    layers and an Add.
    """

    num_inputs: ClassVar[int | None] = 2

    def output_shape(self, *inputs: Shape) -> Shape:
        return _same_shapes(self, inputs)

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        return {"lambda": ()}


@dataclass(frozen=True)
class Concatenate(Layer):
    """The inputs one behind the other along the channels."""

    num_inputs: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        if any(shape[:-1] != inputs[0][:-1] for shape in inputs):
            raise ShapeError(
                "Concatenate needs inputs that differ in their channels only; they are"
                f" {', '.join(map(str, inputs))}."
            )
        return (*inputs[0][:-1], sum(shape[-1] for shape in inputs))


LAYERS: tuple[type[Layer], ...] = (
    Input,
    Rescaling,
    Normalization,
    Conv2D,
    DepthwiseConv2D,
    SeparableConv2D,
    BatchNormalization,
    ReLU,
    Activation,
    MaxPooling2D,
    AveragePooling2D,
    GlobalAveragePooling2D,
    ZeroPadding2D,
    Cropping2D,
    Reshape,
    Flatten,
    Dropout,
    Dense,
    Add,
    Multiply,
    ConvexSum,
    Concatenate,
)


@lru_cache(maxsize=65536)
def arguments(layer: Layer) -> Mapping[str, Any]:
    """Return the arguments of a layer by name, as in its constructor."""
    return {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}


__all__ = [
    "ACTIVATIONS",
    "ELEMENTWISE_ACTIVATIONS",
    "LAYERS",
    "Activation",
    "Add",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "ConvexSum",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "Input",
    "Layer",
    "MaxPooling2D",
    "Multiply",
    "Normalization",
    "Pooling2D",
    "ReLU",
    "Rescaling",
    "Reshape",
    "SeparableConv2D",
    "Shape",
    "ShapeError",
    "Windowed",
    "ZeroPadding2D",
    "arguments",
]
