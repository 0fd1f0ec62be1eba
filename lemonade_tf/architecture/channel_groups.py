"""Groups of channels that can only be added or removed together.

A convolution outputs channels that other layers pass on, consume or add to others. So all channels
of a network belong to *groups*, which are propagated from the input to the output:

- Convolutions and dense layers absorb the groups of their input and start a new one.
- Batch normalization, activations, pooling and depthwise convolutions pass groups on.
- A concatenation lines up the groups of its inputs; Flatten repeats those of its input.
- A sum or a product *ties* its inputs: channel j of one can only change together with channel j of
  the other. Tied groups become one; where their ends do not coincide, groups are split first.
- A grouped convolution ties the blocks of its input to each other, so that they stay equally wide,
  and starts one group that occurs once in each block of its output.
- A group is *fixed* if one of its channels cannot change: it belongs to the network's input or
  output, or to a function of several channels such as softmax.

The channels of a node are then a sequence of runs of groups. For example, with a and b of 3 and 5
channels, c of 8 and the sum of concat(a, b) and c, the group of c is split into 3 and 5 channels,
which are tied to a and b: removing a channel of a removes one of c.

A change of channels is a *source* array: channel j of the new tensor is channel ``source[j]`` of
the old one, or fresh if ``source[j]`` is -1. A channel listed twice is split into copies; a channel
that is not listed is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import singledispatch

import numpy as np

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import (
    ELEMENTWISE_ACTIVATIONS,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    ConvexSum,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Layer,
    MaxPooling2D,
    Multiply,
    Normalization,
    ReLU,
    Rescaling,
    Reshape,
    SeparableConv2D,
    Shape,
    ZeroPadding2D,
)

FRESH = -1

Sources = Mapping[int, np.ndarray]  # group -> the source of each of its new channels


def channel_groups(graph: Graph) -> ChannelGroups:
    """Return the channel groups of a graph, computed once between two edits."""
    return graph.cached("channel_groups", _channel_groups)


def _channel_groups(graph: Graph) -> ChannelGroups:
    groups, shapes = ChannelGroups(), graph.shapes()
    for name in graph.topological_order():
        node = graph[name]
        inputs = [groups.runs[i] for i in node.inputs]
        groups.runs[name] = _propagate(node.layer, _Context(groups, name, shapes[name]), *inputs)
    groups.fix(groups.runs[graph.output], "it reaches the output")
    # Later sums may have tied or split groups of earlier nodes.
    groups.runs = {name: groups.resolve(runs) for name, runs in groups.runs.items()}
    return groups


@dataclass(frozen=True)
class Run:
    """All channels of a group in a row, each `repeat` times (by a depth multiplier)."""

    group: int
    repeat: int = 1


Runs = tuple[Run, ...]


@dataclass
class ChannelGroups:
    """The channel groups of a graph.

    Ties and splits are recorded as in a union-find structure: a tied group refers to the group that
    replaces it, a split group to its two parts, and `resolve` follows these references.

    Attributes:
        runs: For every node, the runs of groups that make up its output.
        sizes: The number of channels of each group.
        fixed: For each group that cannot change, the reason.
    """

    runs: dict[str, Runs] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    fixed: dict[int, str] = field(default_factory=dict)
    _tied_to: dict[int, int] = field(default_factory=dict)
    _parts: dict[int, tuple[int, int]] = field(default_factory=dict)

    def source(self, name: str, sources: Sources) -> np.ndarray | None:
        """Return the source of a node's output when groups change; None if it does not."""
        runs = self.runs[name]
        if not any(run.group in sources for run in runs):
            return None
        # The source of each run counts within its group; shifted by the channels before the run, it
        # counts within the tensor.
        parts, offset = [], 0
        for run in runs:
            size = self.sizes[run.group]
            part = sources.get(run.group, np.arange(size))
            part = repeat_channels(part, run.repeat)
            parts.append(np.where(part < 0, FRESH, part + offset))
            offset += size * run.repeat
        return np.concatenate(parts)

    def groups_of(self, name: str) -> tuple[int, ...]:
        """Return the groups in a node's output, each once."""
        return tuple(dict.fromkeys(run.group for run in self.runs[name]))

    def why_fixed(self, groups: Iterable[int]) -> str | None:
        """Return why these groups cannot change, or None if they can."""
        return next((self.fixed[g] for g in groups if g in self.fixed), None)

    # --- Building ------------------------------------------------------------------------------

    def new(self, size: int) -> Run:
        """Start a group of a number of channels, and return the run of them."""
        group = len(self.sizes)
        self.sizes[group] = size
        return Run(group)

    def resolve(self, runs: Iterable[Run]) -> Runs:
        """Return the runs in terms of groups that are neither tied to another group nor split."""
        found: list[Run] = []
        for run in runs:
            group = run.group
            while group in self._tied_to:
                group = self._tied_to[group]
            if group in self._parts:
                found.extend(self.resolve(Run(p, run.repeat) for p in self._parts[group]))
            else:
                found.append(Run(group, run.repeat))
        return tuple(found)

    def _split(self, group: int, size: int) -> None:
        """Split a group into its first `size` channels and the rest."""
        first, second = self.new(size), self.new(self.sizes[group] - size)
        self._parts[group] = (first.group, second.group)
        if group in self.fixed:
            self.fixed[first.group] = self.fixed[second.group] = self.fixed[group]

    def tie(self, first: Runs, second: Runs) -> Runs:
        """Tie the channels of two tensors to each other; return the runs that both then have."""
        # Each round resolves the first pair of runs that differ: groups of equal size become one,
        # the larger of two groups is split to fit. Both make progress, so the loop ends: ties leave
        # fewer groups, and splits are limited by the number of channels.
        while True:
            first, second = self.resolve(first), self.resolve(second)
            differing = [(a, b) for a, b in zip(first, second, strict=False) if a != b]
            if not differing:
                return first
            a, b = differing[0]
            if a.repeat != b.repeat:  # one channel against several copies of another
                self.fix((*first, *second), "it is tied to the copies of a depth multiplier")
                return first
            small, large = sorted((a.group, b.group), key=lambda g: self.sizes[g])
            if self.sizes[small] < self.sizes[large]:
                self._split(large, self.sizes[small])
            else:
                self._tied_to[large] = small
                if large in self.fixed:
                    self.fixed.setdefault(small, self.fixed[large])

    def width(self, runs: Iterable[Run]) -> int:
        """Return the number of channels in runs."""
        return sum(self.sizes[run.group] * run.repeat for run in self.resolve(runs))

    def blocks(self, runs: Iterable[Run], count: int) -> list[Runs] | None:
        """Divide runs into blocks with equal numbers of channels, splitting groups where needed.

        Returns:
            The runs of each block; None if a block would end between two copies of a channel.
        """
        blocks: list[list[Run]] = [[]]
        size = room = self.width(runs) // count  # room: what is left of the current block
        pending = list(self.resolve(runs))
        while pending:
            run = pending[0]
            channels = self.sizes[run.group] * run.repeat
            if not room:
                blocks.append([])
                room = size
            elif channels <= room:
                blocks[-1].append(pending.pop(0))
                room -= channels
            elif room % run.repeat:
                return None
            else:
                self._split(run.group, room // run.repeat)
                pending = list(self.resolve(pending))
        # A group may have been split after a run of it was assigned to a block.
        return [self.resolve(block) for block in blocks]

    def fix(self, runs: Iterable[Run], reason: str) -> Runs:
        """Mark the groups of these runs as fixed, and return the resolved runs."""
        runs = self.resolve(runs)
        for run in runs:
            self.fixed.setdefault(run.group, reason)
        return runs


def repeat_channels(source: np.ndarray, times: int) -> np.ndarray:
    """Return the source of a tensor in which each channel is repeated several times in a row."""
    if times == 1:
        return source
    inner = np.arange(times)
    return np.where(source[:, None] < 0, FRESH, source[:, None] * times + inner).ravel()


# --- From the inputs of a layer to its output --------------------------------------------------


@dataclass(frozen=True)
class _Context:
    """The groups under construction, the name of the layer's node and its output shape."""

    groups: ChannelGroups
    name: str
    shape: Shape


@singledispatch
def _propagate(layer: Layer, at: _Context, *inputs: Runs) -> Runs:
    """Return the runs of a layer's output, given those of its inputs."""
    raise NotImplementedError(f"channel groups are not defined for {type(layer).__name__}.")


@_propagate.register(SeparableConv2D)
@_propagate.register(Dense)
def _(layer: Layer, at: _Context, *inputs: Runs) -> Runs:
    return (at.groups.new(at.shape[-1]),)


@_propagate.register
def _(layer: Conv2D, at: _Context, *inputs: Runs) -> Runs:
    groups = at.groups
    if layer.groups > 1:
        blocks = groups.blocks(inputs[0], layer.groups)
        if blocks is None:
            groups.fix(inputs[0], f"{at.name!r} separates the copies of a depth multiplier")
        else:
            _tie_all(at, *blocks)
    return (groups.new(at.shape[-1] // layer.groups),) * layer.groups


@_propagate.register
def _(layer: Input, at: _Context, *inputs: Runs) -> Runs:
    return at.groups.fix((at.groups.new(at.shape[-1]),), f"it is the input {at.name!r}")


@_propagate.register(BatchNormalization)
@_propagate.register(ReLU)
@_propagate.register(MaxPooling2D)
@_propagate.register(AveragePooling2D)
@_propagate.register(GlobalAveragePooling2D)
@_propagate.register(ZeroPadding2D)
@_propagate.register(Cropping2D)
@_propagate.register(Dropout)
def _(layer: Layer, at: _Context, *inputs: Runs) -> Runs:
    return inputs[0]


@_propagate.register
def _(layer: Activation, at: _Context, *inputs: Runs) -> Runs:
    if layer.activation in ELEMENTWISE_ACTIVATIONS:
        return inputs[0]
    return at.groups.fix(inputs[0], f"{at.name!r} is a {layer.activation} over all channels")


@_propagate.register
def _(layer: Rescaling, at: _Context, *inputs: Runs) -> Runs:
    if isinstance(layer.scale, tuple) or isinstance(layer.offset, tuple):
        reason = f"{at.name!r} rescales each channel by a different number"
        return at.groups.fix(inputs[0], reason)
    return inputs[0]


@_propagate.register
def _(layer: Normalization, at: _Context, *inputs: Runs) -> Runs:
    return at.groups.fix(inputs[0], f"{at.name!r} normalizes each channel by different numbers")


@_propagate.register
def _(layer: DepthwiseConv2D, at: _Context, *inputs: Runs) -> Runs:
    return tuple(Run(r.group, r.repeat * layer.depth_multiplier) for r in inputs[0])


@_propagate.register(Flatten)
@_propagate.register(Reshape)
def _(layer: Layer, at: _Context, *inputs: Runs) -> Runs:
    # Values are in row-major order with the channel last. If whole pixels make up the last axis of
    # the output, it consists of repetitions of all channels.
    channels = at.groups.width(inputs[0])
    if at.shape[-1] % channels:
        return at.groups.fix(
            (*inputs[0], at.groups.new(at.shape[-1])), f"{at.name!r} separates channels"
        )[-1:]
    return inputs[0] * (at.shape[-1] // channels)


@_propagate.register
def _(layer: Concatenate, at: _Context, *inputs: Runs) -> Runs:
    return tuple(run for runs in inputs for run in runs)


@_propagate.register(Add)
@_propagate.register(ConvexSum)
def _(layer: Layer, at: _Context, *inputs: Runs) -> Runs:
    return _tie_all(at, *inputs)


@_propagate.register
def _(layer: Multiply, at: _Context, *inputs: Runs) -> Runs:
    # Inputs of one channel are broadcast: they cannot be tied channel by channel.
    wide = [runs for runs in inputs if at.groups.width(runs) == at.shape[-1]]
    for runs in inputs:
        if runs not in wide:
            at.groups.fix(runs, f"{at.name!r} multiplies all channels by this one")
    return _tie_all(at, *wide)


def _tie_all(at: _Context, *inputs: Runs) -> Runs:
    first = inputs[0]
    for other in inputs[1:]:
        first = at.groups.tie(first, other)
    return first
