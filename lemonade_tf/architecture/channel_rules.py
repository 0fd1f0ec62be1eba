"""How each kind of layer passes channel groups on, ties them, or starts new ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from lemonade_tf.architecture.channel_runs import ChannelGroups, Run, Runs
from lemonade_tf.architecture.layers import (
    ELEMENTWISE_ACTIVATIONS,
    ELU,
    Activation,
    BatchNormalization,
    ChannelSlice,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    ConvexSum,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Elementwise,
    Flatten,
    GlobalPooling2D,
    GroupNormalization,
    Input,
    Layer,
    LayerNormalization,
    LayerScale,
    LeakyReLU,
    Normalization,
    Permute,
    Pooling2D,
    PReLU,
    ReLU,
    Rescaling,
    Reshape,
    Resizing,
    SeparableConv2D,
    Shape,
    TrainingOnly,
    UpSampling2D,
    ZeroPadding2D,
)
from lemonade_tf.architecture.opaque import Opaque, Outputs, Part, Pointwise

# Groups of one channel each: every channel is tied to all others, at the cost of a split for each.
_MAX_SPLITS = 64


@dataclass(frozen=True)
class Context:
    """The groups under construction, the name of the layer's node and its output shape."""

    groups: ChannelGroups
    name: str
    shape: Shape


@singledispatch
def propagate(layer: Layer, at: Context, *inputs: Runs) -> Runs:
    """Return the runs of a layer's output, given those of its inputs."""
    raise NotImplementedError(f"channel groups are not defined for {type(layer).__name__}.")


@propagate.register(Conv2DTranspose)
@propagate.register(SeparableConv2D)
@propagate.register(Dense)
def _(layer: Layer, at: Context, *inputs: Runs) -> Runs:
    return (at.groups.new(at.shape[-1]),)


@propagate.register
def _(layer: Conv2D, at: Context, *inputs: Runs) -> Runs:
    groups = at.groups
    if layer.groups > 1:
        size = groups.width(inputs[0]) // layer.groups
        if size == 1 and layer.groups > _MAX_SPLITS:
            reason = f"{at.name!r} has a group for each of many channels"
            groups.fix(inputs[0], reason)
            return _fixed(at, reason)
        _tie_blocks(layer.groups, at, inputs[0])
    return (groups.new(at.shape[-1] // layer.groups),) * layer.groups


@propagate.register
def _(layer: Input, at: Context, *inputs: Runs) -> Runs:
    return _fixed(at, f"it is the input {at.name!r}")


@propagate.register
def _(layer: Opaque, at: Context, *inputs: Runs) -> Runs:
    reason = f"{at.name!r} is a {layer.kind}, which is carried as it is"
    for runs in inputs:
        at.groups.fix(runs, reason)
    return _fixed(at, reason)


@propagate.register
def _(layer: Part, at: Context, *inputs: Runs) -> Runs:
    return _fixed(at, f"it is an output of {at.name!r}, which is carried as it is")


@propagate.register
def _(layer: Outputs, at: Context, *inputs: Runs) -> Runs:
    return inputs[0]


def _fixed(at: Context, reason: str) -> Runs:
    """Start a group that cannot change."""
    return at.groups.fix((at.groups.new(at.shape[-1] if at.shape else 1),), reason)


@propagate.register(BatchNormalization)
@propagate.register(LayerScale)
@propagate.register(ReLU)
@propagate.register(LeakyReLU)
@propagate.register(PReLU)
@propagate.register(ELU)
@propagate.register(Pooling2D)
@propagate.register(GlobalPooling2D)
@propagate.register(ZeroPadding2D)
@propagate.register(Cropping2D)
@propagate.register(UpSampling2D)
@propagate.register(Resizing)
@propagate.register(Dropout)
@propagate.register(TrainingOnly)
@propagate.register(Pointwise)
def _(layer: Layer, at: Context, *inputs: Runs) -> Runs:
    return inputs[0]


@propagate.register
def _(layer: Activation, at: Context, *inputs: Runs) -> Runs:
    if layer.activation in ELEMENTWISE_ACTIVATIONS:
        return inputs[0]
    return at.groups.fix(inputs[0], f"{at.name!r} is a {layer.activation} over all channels")


@propagate.register
def _(layer: Rescaling, at: Context, *inputs: Runs) -> Runs:
    if isinstance(layer.scale, tuple) or isinstance(layer.offset, tuple):
        reason = f"{at.name!r} rescales each channel by a different number"
        return at.groups.fix(inputs[0], reason)
    return inputs[0]


@propagate.register
def _(layer: Normalization, at: Context, *inputs: Runs) -> Runs:
    return at.groups.fix(inputs[0], f"{at.name!r} normalizes each channel by different numbers")


@propagate.register
def _(layer: LayerNormalization, at: Context, *inputs: Runs) -> Runs:
    return at.groups.cap(inputs[0], f"{at.name!r} normalizes all channels together")


@propagate.register
def _(layer: GroupNormalization, at: Context, *inputs: Runs) -> Runs:
    if layer.is_per_channel(at.shape[-1]):
        return inputs[0]
    # All blocks stay equally wide, as those of a grouped convolution.
    _tie_blocks(layer.groups, at, inputs[0])
    reason = f"{at.name!r} normalizes the channels of each of {layer.groups} groups together"
    return at.groups.cap(inputs[0], reason)


@propagate.register
def _(layer: DepthwiseConv2D, at: Context, *inputs: Runs) -> Runs:
    return tuple(Run(r.group, r.repeat * layer.depth_multiplier) for r in inputs[0])


@propagate.register(Flatten)
@propagate.register(Reshape)
def _(layer: Layer, at: Context, *inputs: Runs) -> Runs:
    # Values are in row-major order with the channel last. If whole pixels make up the last axis of
    # the output, it consists of repetitions of all channels.
    channels = at.groups.width(inputs[0])
    if at.shape[-1] % channels:
        return at.groups.fix(
            (*inputs[0], at.groups.new(at.shape[-1])), f"{at.name!r} separates channels"
        )[-1:]
    return inputs[0] * (at.shape[-1] // channels)


@propagate.register
def _(layer: Permute, at: Context, *inputs: Runs) -> Runs:
    if layer.dims[-1] == len(layer.dims):
        return inputs[0]
    at.groups.fix(inputs[0], f"{at.name!r} moves the channels to another axis")
    return at.groups.fix((at.groups.new(at.shape[-1]),), f"{at.name!r} makes channels of an axis")


@propagate.register
def _(layer: ChannelSlice, at: Context, *inputs: Runs) -> Runs:
    rest = at.groups.width(inputs[0]) - layer.stop
    parts = at.groups.cut(inputs[0], (layer.start, layer.stop - layer.start, rest))
    if parts is not None:
        return parts[1]
    reason = f"{at.name!r} separates the copies of a depth multiplier"
    at.groups.fix(inputs[0], reason)
    return at.groups.fix((at.groups.new(at.shape[-1]),), reason)


@propagate.register
def _(layer: Concatenate, at: Context, *inputs: Runs) -> Runs:
    return tuple(run for runs in inputs for run in runs)


@propagate.register
def _(layer: ConvexSum, at: Context, *inputs: Runs) -> Runs:
    return _tie_all(at, *inputs)


@propagate.register
def _(layer: Elementwise, at: Context, *inputs: Runs) -> Runs:
    # Inputs of one channel are broadcast: they cannot be tied channel by channel.
    wide = [runs for runs in inputs if at.groups.width(runs) == at.shape[-1]]
    for runs in inputs:
        if runs not in wide:
            at.groups.fix(runs, f"{at.name!r} combines all channels with this one")
    return _tie_all(at, *wide)


def _tie_all(at: Context, *inputs: Runs) -> Runs:
    first = inputs[0]
    for other in inputs[1:]:
        first = at.groups.tie(first, other)
    return first


def _tie_blocks(number: int, at: Context, runs: Runs) -> None:
    """Tie equal blocks of channels to each other, so that they stay equally wide."""
    blocks = at.groups.cut(runs, [at.groups.width(runs) // number] * number)
    if blocks is None:
        at.groups.fix(runs, f"{at.name!r} separates the copies of a depth multiplier")
    else:
        _tie_all(at, *blocks)
