"""Which channels of a network belong together.

What one convolution puts out, others pass on, read, or add to. So channels come in *groups*: runs
of channels that can only change together. Batch normalization, activations, pooling and depthwise
convolutions pass the groups of their input on, a concatenation puts those of its inputs one
behind the other, Flatten repeats them, and a sum or a product ties the groups of its inputs to each
other, channel by channel, splitting a group where the ones it meets end. Convolutions and dense
layers absorb the groups they read and put out a new one; a grouped convolution also ties the blocks
that it reads to each other, and puts out one group for each block, so that all blocks stay equally
wide. A group is *fixed* if something that cannot change takes part in it: the input, the output, or
a function of several channels such as softmax.

A change of channels is a *source*: channel j of the new tensor is channel ``source[j]`` of the old
one, or fresh if ``source[j]`` is -1. A channel listed twice is split, one not listed is gone.
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

Sources = Mapping[int, np.ndarray]  # group -> source of each of its new channels


def channel_groups(graph: Graph) -> ChannelGroups:
    """Return the groups of channels of a graph, computed once between two edits."""
    return graph.cached("channel_groups", _channel_groups)


def _channel_groups(graph: Graph) -> ChannelGroups:
    groups, shapes = ChannelGroups(), graph.shapes()
    for name in graph.topological_order():
        node = graph[name]
        inputs = [groups.runs[i] for i in node.inputs]
        groups.runs[name] = _flow(node.layer, _Place(groups, name, shapes[name]), *inputs)
    groups.fix(groups.runs[graph.output], "it reaches the output")
    groups.runs = {name: groups.resolve(runs) for name, runs in groups.runs.items()}
    return groups


@dataclass(frozen=True)
class Run:
    """Channels of one group in a row; each `repeat` times (a depthwise multiplier)."""

    group: int
    repeat: int = 1


Runs = tuple[Run, ...]


@dataclass
class ChannelGroups:
    """The groups of channels of a graph.

    Attributes:
        runs: For every node, the runs of groups that its output consists of.
        sizes: The number of channels of each group.
        fixed: Why a group cannot change, for those that cannot.
    """

    runs: dict[str, Runs] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    fixed: dict[int, str] = field(default_factory=dict)
    _tied_to: dict[int, int] = field(default_factory=dict)
    _parts: dict[int, tuple[int, int]] = field(default_factory=dict)

    def source(self, name: str, sources: Sources) -> np.ndarray | None:
        """Return the source of the output of a node, or None where nothing changes."""
        runs = self.runs[name]
        if not any(run.group in sources for run in runs):
            return None
        parts, offset = [], 0
        for run in runs:
            size = self.sizes[run.group]
            part = sources.get(run.group, np.arange(size))
            part = repeated(part, run.repeat)
            parts.append(np.where(part < 0, FRESH, part + offset))
            offset += size * run.repeat
        return np.concatenate(parts)

    def groups_of(self, name: str) -> tuple[int, ...]:
        """Return the groups in the output of a node, each once."""
        return tuple(dict.fromkeys(run.group for run in self.runs[name]))

    def why_fixed(self, groups: Iterable[int]) -> str | None:
        """Return why these groups cannot change, or None if they can."""
        return next((self.fixed[g] for g in groups if g in self.fixed), None)

    # --- Building ------------------------------------------------------------------------------

    def new(self, size: int) -> Run:
        """Begin a group, and return the run of its channels."""
        group = len(self.sizes)
        self.sizes[group] = size
        return Run(group)

    def resolve(self, runs: Iterable[Run]) -> Runs:
        """Return the runs in terms of groups that were neither tied to another nor split."""
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
        first, second = self.new(size), self.new(self.sizes[group] - size)
        self._parts[group] = (first.group, second.group)
        if group in self.fixed:
            self.fixed[first.group] = self.fixed[second.group] = self.fixed[group]

    def tie(self, first: Runs, second: Runs) -> Runs:
        """Make two tensors that are added consist of the same groups; return those."""
        while True:
            first, second = self.resolve(first), self.resolve(second)
            differing = [(a, b) for a, b in zip(first, second, strict=False) if a != b]
            if not differing:
                return first
            a, b = differing[0]
            if a.repeat != b.repeat:  # channels repeated against channels that are not
                self.fix((*first, *second), "it is tied to channels of a depth multiplier")
                return first
            small, large = sorted((a.group, b.group), key=lambda g: self.sizes[g])
            if self.sizes[small] < self.sizes[large]:
                self._split(large, self.sizes[small])
            else:
                self._tied_to[large] = small
                if large in self.fixed:
                    self.fixed.setdefault(small, self.fixed[large])

    def width(self, runs: Iterable[Run]) -> int:
        """Return how many channels runs are."""
        return sum(self.sizes[run.group] * run.repeat for run in self.resolve(runs))

    def blocks(self, runs: Iterable[Run], count: int) -> list[Runs] | None:
        """Cut runs into blocks of equally many channels, splitting groups where one ends.

        None where a block would end inside the repetitions of a channel.
        """
        blocks: list[list[Run]] = [[]]
        size = room = self.width(runs) // count
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
        return [self.resolve(block) for block in blocks]

    def fix(self, runs: Iterable[Run], why: str) -> Runs:
        """Keep the groups of these runs from changing, and return the runs, resolved."""
        runs = self.resolve(runs)
        for run in runs:
            self.fixed.setdefault(run.group, why)
        return runs


def repeated(source: np.ndarray, times: int) -> np.ndarray:
    """Return the source of channels of which each occurs several times in a row."""
    if times == 1:
        return source
    inner = np.arange(times)
    return np.where(source[:, None] < 0, FRESH, source[:, None] * times + inner).ravel()


# --- How channels flow through a layer ---------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a layer stands: the groups being built, its name, and the shape of its output."""

    groups: ChannelGroups
    name: str
    shape: Shape


@singledispatch
def _flow(layer: Layer, place: _Place, *inputs: Runs) -> Runs:
    """Return the runs in a layer's output, given those in its inputs."""
    raise NotImplementedError(
        f"the flow of channels through {type(layer).__name__} is not defined."
    )


@_flow.register(SeparableConv2D)
@_flow.register(Dense)
def _(layer: Layer, place: _Place, *inputs: Runs) -> Runs:
    return (place.groups.new(place.shape[-1]),)


@_flow.register
def _(layer: Conv2D, place: _Place, *inputs: Runs) -> Runs:
    groups = place.groups
    if layer.groups > 1:
        blocks = groups.blocks(inputs[0], layer.groups)
        if blocks is None:
            groups.fix(inputs[0], f"{place.name!r} cuts the copies of a depth multiplier apart")
        else:
            _tied(place, *blocks)
    return (groups.new(place.shape[-1] // layer.groups),) * layer.groups


@_flow.register
def _(layer: Input, place: _Place, *inputs: Runs) -> Runs:
    return place.groups.fix((place.groups.new(place.shape[-1]),), f"it is the input {place.name!r}")


@_flow.register(BatchNormalization)
@_flow.register(ReLU)
@_flow.register(MaxPooling2D)
@_flow.register(AveragePooling2D)
@_flow.register(GlobalAveragePooling2D)
@_flow.register(ZeroPadding2D)
@_flow.register(Cropping2D)
@_flow.register(Dropout)
def _(layer: Layer, place: _Place, *inputs: Runs) -> Runs:
    return inputs[0]


@_flow.register
def _(layer: Activation, place: _Place, *inputs: Runs) -> Runs:
    if layer.activation in ELEMENTWISE_ACTIVATIONS:
        return inputs[0]
    return place.groups.fix(inputs[0], f"{place.name!r} is a {layer.activation} over all channels")


@_flow.register
def _(layer: Rescaling, place: _Place, *inputs: Runs) -> Runs:
    if isinstance(layer.scale, tuple) or isinstance(layer.offset, tuple):
        why = f"{place.name!r} rescales each channel by a number of its own"
        return place.groups.fix(inputs[0], why)
    return inputs[0]


@_flow.register
def _(layer: Normalization, place: _Place, *inputs: Runs) -> Runs:
    return place.groups.fix(inputs[0], f"{place.name!r} normalises each channel by its own numbers")


@_flow.register
def _(layer: DepthwiseConv2D, place: _Place, *inputs: Runs) -> Runs:
    return tuple(Run(r.group, r.repeat * layer.depth_multiplier) for r in inputs[0])


@_flow.register(Flatten)
@_flow.register(Reshape)
def _(layer: Layer, place: _Place, *inputs: Runs) -> Runs:
    channels = place.groups.width(inputs[0])
    if place.shape[-1] % channels:
        return place.groups.fix(
            (*inputs[0], place.groups.new(place.shape[-1])), f"{place.name!r} takes channels apart"
        )[-1:]
    return inputs[0] * (place.shape[-1] // channels)


@_flow.register
def _(layer: Concatenate, place: _Place, *inputs: Runs) -> Runs:
    return tuple(run for runs in inputs for run in runs)


@_flow.register(Add)
@_flow.register(ConvexSum)
def _(layer: Layer, place: _Place, *inputs: Runs) -> Runs:
    return _tied(place, *inputs)


@_flow.register
def _(layer: Multiply, place: _Place, *inputs: Runs) -> Runs:
    wide = [runs for runs in inputs if place.groups.width(runs) == place.shape[-1]]
    for runs in inputs:
        if runs not in wide:
            place.groups.fix(runs, f"{place.name!r} multiplies all channels by this one")
    return _tied(place, *wide)


def _tied(place: _Place, *inputs: Runs) -> Runs:
    first = inputs[0]
    for other in inputs[1:]:
        first = place.groups.tie(first, other)
    return first
