"""Layers that scale and shift values: by constants, by statistics, or by learned numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lemonade_tf.architecture.layer import Layer, Shape, ShapeError, check_positive


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
class LayerNormalization(Layer):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, with statistics over the channels.

    So every channel of the output depends on all channels of the input.
    """

    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", float(self.epsilon))

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        return _scale_and_offset(self, inputs[0])


@dataclass(frozen=True)
class GroupNormalization(Layer):
    """As LayerNormalization, with statistics over the image and the channels of a group.

    Attributes:
        groups: The number of groups: blocks of channels of equal size. As many as channels make an
            instance normalization, for which -1 stands, too.
        epsilon: Added to the variance.
        center: Whether there is a beta.
        scale: Whether there is a gamma.
    """

    groups: int = 32
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        if self.groups != -1:
            check_positive(self.groups, "groups")
        object.__setattr__(self, "epsilon", float(self.epsilon))

    def output_shape(self, *inputs: Shape) -> Shape:
        if inputs[0][-1] % self.groups:
            raise ShapeError(
                f"GroupNormalization with {self.groups} groups got an input of {inputs[0][-1]}"
                " channels; expected a multiple of the groups."
            )
        return inputs[0]

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        return _scale_and_offset(self, inputs[0])

    def is_per_channel(self, channels: int) -> bool:
        """Return whether each of this many channels is a group of its own."""
        return self.groups in (-1, channels)


def _scale_and_offset(
    layer: LayerNormalization | GroupNormalization, shape: Shape
) -> Mapping[str, Shape]:
    return {
        **({"gamma": shape[-1:]} if layer.scale else {}),
        **({"beta": shape[-1:]} if layer.center else {}),
    }


@dataclass(frozen=True)
class LayerScale(Layer):
    """gamma * x, per channel, as in keras.applications.ConvNeXt.

    Attributes:
        init_values: The value with which gamma starts.
        projection_dim: The number of channels.
    """

    init_values: float
    projection_dim: int

    def __post_init__(self) -> None:
        check_positive(self.projection_dim, "projection_dim")
        object.__setattr__(self, "init_values", float(self.init_values))

    def output_shape(self, *inputs: Shape) -> Shape:
        if inputs[0][-1] != self.projection_dim:
            raise ShapeError(
                f"LayerScale of {self.projection_dim} channels got an input of {inputs[0][-1]}."
            )
        return inputs[0]

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        return {"gamma": (self.projection_dim,)}
