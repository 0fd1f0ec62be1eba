"""The kinds of layers that a network may contain.

Each kind is a frozen dataclass with the name and the arguments that it has in Keras. It knows the
shape of its output and the shapes of its weights. Everything else that depends on the kind (cost,
channel groups, conversion to Keras) is a separate function in the module for that purpose.

An activation is always a layer, never an argument of another layer, so that operators have to deal
with one form only.

Layers with a window are defined in `windows`, layers that rearrange values in `reshaping`; import
all of them from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lemonade_tf.architecture.layer import (
    Layer,
    Shape,
    ShapeError,
    arguments,
    check_image,
    check_positive,
)
from lemonade_tf.architecture.reshaping import Cropping2D, Flatten, Reshape, ZeroPadding2D
from lemonade_tf.architecture.windows import (
    AveragePooling2D,
    Conv2D,
    DepthwiseConv2D,
    MaxPooling2D,
    Pooling2D,
    SeparableConv2D,
)

# Activations of each value separately: channel j of the output depends on channel j of the input
# and on nothing else.
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
    """The input of the network.

    Attributes:
        shape: (height, width, channels).
    """

    shape: Shape
    num_inputs: ClassVar[int | None] = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        for size in self.shape:
            check_positive(size, "a size of the Input's shape")

    def output_shape(self, *inputs: Shape) -> Shape:
        return self.shape


@dataclass(frozen=True)
class Rescaling(Layer):
    """x * scale + offset; scale and offset are numbers or tuples with one number per channel."""

    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            value = getattr(self, name)
            plain = float(value) if isinstance(value, int | float) else tuple(map(float, value))
            object.__setattr__(self, name, plain)

    def output_shape(self, *inputs: Shape) -> Shape:
        _check_per_channel(self, ("scale", "offset"), inputs[0])
        return inputs[0]


def _check_per_channel(layer: Layer, names: tuple[str, ...], shape: Shape) -> None:
    for name in names:
        value = getattr(layer, name)
        if isinstance(value, tuple) and len(value) != shape[-1]:
            raise ShapeError(
                f"{type(layer).__name__} with {len(value)} values for {name} got an input of"
                f" {shape[-1]} channels; expected one value per channel."
            )


@dataclass(frozen=True)
class Normalization(Layer):
    """(x - mean) / sqrt(variance), for the network's input.

    Attributes:
        mean: One number, or one per channel. None if `adapt` measured the statistics: then mean and
            variance are weights, and so is count, which Keras stores but does not use.
        variance: As for mean; given if and only if mean is given.
    """

    mean: float | tuple[float, ...] | None = None
    variance: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.variance is None):
            raise ValueError(
                f"mean is {self.mean!r} and variance is {self.variance!r}; expected both or"
                " neither."
            )
        for name in ("mean", "variance"):
            value = getattr(self, name)
            if value is not None:
                plain = float(value) if isinstance(value, int | float) else tuple(map(float, value))
                object.__setattr__(self, name, plain)

    def output_shape(self, *inputs: Shape) -> Shape:
        _check_per_channel(self, ("mean", "variance"), inputs[0])
        return inputs[0]

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        if self.mean is not None:
            return {}
        channels = (inputs[0][-1],)
        return {"mean": channels, "variance": channels, "count": ()}


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, per channel.

    With Keras's epsilon of 1e-3, mean 0, variance 1, gamma 1 and beta 0 do not make the identity;
    gamma = sqrt(variance + epsilon) and beta = mean do.
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
    """A Keras activation function, by name."""

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
    """The mean of the image per channel: (channels,), or (1, 1, channels) with keepdims."""

    keepdims: bool = False

    def output_shape(self, *inputs: Shape) -> Shape:
        check_image(self, inputs[0])
        return (1, 1, inputs[0][-1]) if self.keepdims else inputs[0][-1:]


@dataclass(frozen=True)
class Dropout(Layer):
    """Sets a fraction of the values to zero in training; the identity at inference.

    Attributes:
        rate: The fraction.
        noise_shape: (batch, height, width, channels): 1 for axes along which values are dropped
            together, None for axes along which they are dropped independently. (None, 1, 1, 1)
            drops whole images: stochastic depth.
    """

    rate: float
    noise_shape: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise ValueError(f"rate is {self.rate!r}; expected a fraction in [0, 1).")
        object.__setattr__(self, "rate", float(self.rate))
        if self.noise_shape is not None:
            object.__setattr__(self, "noise_shape", tuple(self.noise_shape))
            if not set(self.noise_shape) <= {1, None}:
                raise ValueError(f"noise_shape is {self.noise_shape!r}; expected only 1 and None.")

    def output_shape(self, *inputs: Shape) -> Shape:
        if self.noise_shape is not None and len(self.noise_shape) != len(inputs[0]) + 1:
            raise ShapeError(
                f"Dropout with a noise_shape of {len(self.noise_shape)} sizes got an input of"
                f" {len(inputs[0]) + 1} axes, the batch included; expected one size per axis."
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
            f"{type(layer).__name__} got inputs of shapes {', '.join(map(str, inputs))}; expected"
            " equal shapes."
        )
    return inputs[0]


@dataclass(frozen=True)
class Add(Layer):
    """The sum of two or more inputs of the same shape."""

    num_inputs: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        return _same_shapes(self, inputs)


@dataclass(frozen=True)
class Multiply(Layer):
    """The product of two or more inputs; sizes of 1 are broadcast.

    Squeeze-and-excitation multiplies an image (height, width, channels) by a gate (1, 1, channels).
    """

    num_inputs: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        sizes = [set(column) - {1} for column in zip(*inputs, strict=False)]
        if len({len(shape) for shape in inputs}) > 1 or any(len(found) > 1 for found in sizes):
            raise ShapeError(
                f"Multiply got inputs of shapes {', '.join(map(str, inputs))}; expected equal"
                " sizes, or 1."
            )
        return tuple(found.pop() if found else 1 for found in sizes)


@dataclass(frozen=True)
class ConvexSum(Layer):
    """(1 - lambda) x + lambda y for inputs x and y and a learnable number lambda.

    As in section 3.1, lambda is the weight of the *second* input: it starts at 0, and x is the
    original output. (Equation 8 swaps the two.) The weight is named "lambda", has shape () and is
    not restricted to [0, 1].

    lambda is not a parameter of the saved model, in which it is folded into two Rescaling layers
    and an Add.
    """

    num_inputs: ClassVar[int | None] = 2

    def output_shape(self, *inputs: Shape) -> Shape:
        return _same_shapes(self, inputs)

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        return {"lambda": ()}

    def num_parameters(self, *inputs: Shape) -> int:
        return 0


@dataclass(frozen=True)
class Concatenate(Layer):
    """The inputs concatenated along the channels."""

    num_inputs: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        if any(shape[:-1] != inputs[0][:-1] for shape in inputs):
            raise ShapeError(
                f"Concatenate got inputs of shapes {', '.join(map(str, inputs))}; expected shapes"
                " that differ only in their channels."
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
    "ZeroPadding2D",
    "arguments",
]
