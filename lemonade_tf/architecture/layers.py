"""The kinds of layers that a network may contain.

Each kind is a frozen dataclass with the name and the arguments that it has in Keras. It knows the
shape of its output and the shapes of its weights. Everything else that depends on the kind (cost,
channel groups, conversion to Keras) is a separate function in the module for that purpose.

An activation is always a layer, never an argument of another layer, so that operators have to deal
with one form only.

Layers are defined in modules by what they do; import all of them from here.
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
    check_positive,
)
from lemonade_tf.architecture.merging import (
    Add,
    Average,
    Concatenate,
    ConvexSum,
    Elementwise,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
)
from lemonade_tf.architecture.nonlinearities import (
    ACTIVATIONS,
    ELEMENTWISE_ACTIVATIONS,
    ELU,
    Activation,
    LeakyReLU,
    PReLU,
    ReLU,
)
from lemonade_tf.architecture.normalizations import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    LayerScale,
    Normalization,
    Rescaling,
)
from lemonade_tf.architecture.reshaping import (
    ChannelSlice,
    Cropping2D,
    Flatten,
    Permute,
    Reshape,
    Resizing,
    UpSampling2D,
    ZeroPadding2D,
)
from lemonade_tf.architecture.windows import (
    AveragePooling2D,
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    GlobalPooling2D,
    MaxPooling2D,
    Pooling2D,
    SeparableConv2D,
)


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
class TrainingOnly(Layer):
    """A Keras layer that changes values in training, and is the identity at inference.

    Noise, other kinds of dropout, stochastic depth, and random changes of images.

    Attributes:
        layer: The name of its class in Keras.
        settings: Its arguments in Keras, as JSON.
    """

    layer: str
    settings: str = "{}"

    def output_shape(self, *inputs: Shape) -> Shape:
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


LAYERS: tuple[type[Layer], ...] = (
    Input,
    Rescaling,
    Normalization,
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv2D,
    SeparableConv2D,
    BatchNormalization,
    LayerNormalization,
    GroupNormalization,
    LayerScale,
    ReLU,
    LeakyReLU,
    PReLU,
    ELU,
    Activation,
    MaxPooling2D,
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    ZeroPadding2D,
    Cropping2D,
    UpSampling2D,
    Resizing,
    Reshape,
    Flatten,
    Permute,
    ChannelSlice,
    Dropout,
    TrainingOnly,
    Dense,
    Add,
    Subtract,
    Multiply,
    Average,
    Maximum,
    Minimum,
    ConvexSum,
    Concatenate,
)


__all__ = [
    "ACTIVATIONS",
    "ELEMENTWISE_ACTIVATIONS",
    "ELU",
    "LAYERS",
    "Activation",
    "Add",
    "Average",
    "AveragePooling2D",
    "BatchNormalization",
    "ChannelSlice",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "ConvexSum",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Elementwise",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "GlobalPooling2D",
    "GroupNormalization",
    "Input",
    "Layer",
    "LayerNormalization",
    "LayerScale",
    "LeakyReLU",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "Pooling2D",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv2D",
    "Shape",
    "ShapeError",
    "Subtract",
    "TrainingOnly",
    "UpSampling2D",
    "ZeroPadding2D",
    "arguments",
]
