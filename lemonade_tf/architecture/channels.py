"""Which channels belong together, and how to change their number everywhere at once.

Widening and pruning are one act: channel j of the new tensor is channel ``source[j]`` of the old
one, or fresh if ``source[j]`` is -1. A channel listed twice is split, one not listed is gone.

What one convolution puts out, others pass on, read, or add to. So channels come in *groups*: runs
of channels that can only change together. Batch normalization, activations, pooling and depthwise
convolutions pass the groups of their input on, a concatenation puts those of its inputs one
behind the other, Flatten repeats them, and a sum ties the groups of its inputs to each other,
channel by channel, splitting a group where the ones it meets end. Convolutions and dense layers
absorb the groups they read and put out a new one. A group is *fixed* if something that cannot
change takes part in it: the input, the output, or a function of several channels such as softmax.

A change maps some groups to sources. Applying it gives every node that carries one of those
groups the layer and the weights that follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod
from math import prod
from typing import Any

import numpy as np

from lemonade_tf.architecture.graph import Graph, Node
from lemonade_tf.architecture.layers import (
    ELEMENTWISE_ACTIVATIONS,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    ConvexSum,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Layer,
    MaxPooling2D,
    ReLU,
    Rescaling,
    SeparableConv2D,
)

FRESH = -1

Sources = Mapping[int, np.ndarray]  # group -> source of each of its new channels
Fresh = Callable[[str, tuple[int, ...]], np.ndarray]  # (name of the weight, shape) -> values


@dataclass(frozen=True)
class Run:
    """Channels of one group in a row; each `repeat` times (a depthwise multiplier)."""

    group: int
    repeat: int = 1


@dataclass
class ChannelGroups:
    """The groups of channels of a graph.

    Attributes:
        runs: For every node, the runs of groups that its output consists of.
        sizes: The number of channels of each group.
        fixed: Why a group cannot change, for those that cannot.
    """

    runs: dict[str, tuple[Run, ...]] = field(default_factory=dict)
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
            if run.repeat > 1:
                inner = np.arange(run.repeat)
                part = np.where(
                    part[:, None] < 0, FRESH, part[:, None] * run.repeat + inner
                ).ravel()
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

    def _new(self, size: int) -> Run:
        group = len(self.sizes)
        self.sizes[group] = size
        return Run(group)

    def _resolve(self, runs: Iterable[Run]) -> tuple[Run, ...]:
        """Return the runs in terms of groups that were neither tied to another nor split."""
        found: list[Run] = []
        for run in runs:
            group = run.group
            while group in self._tied_to:
                group = self._tied_to[group]
            if group in self._parts:
                found.extend(self._resolve(Run(p, run.repeat) for p in self._parts[group]))
            else:
                found.append(Run(group, run.repeat))
        return tuple(found)

    def _split(self, group: int, size: int) -> None:
        first, second = self._new(size), self._new(self.sizes[group] - size)
        self._parts[group] = (first.group, second.group)
        if group in self.fixed:
            self.fixed[first.group] = self.fixed[second.group] = self.fixed[group]

    def _tie(self, first: Sequence[Run], second: Sequence[Run]) -> tuple[Run, ...]:
        """Make two tensors that are added consist of the same groups; return those."""
        while True:
            first, second = self._resolve(first), self._resolve(second)
            differing = [(a, b) for a, b in zip(first, second, strict=False) if a != b]
            if not differing:
                return tuple(first)
            a, b = differing[0]
            if a.repeat != b.repeat:  # channels repeated against channels that are not
                self._fix((*first, *second), "it is added to channels of a depth multiplier")
                return tuple(first)
            small, large = sorted((a.group, b.group), key=lambda g: self.sizes[g])
            if self.sizes[small] < self.sizes[large]:
                self._split(large, self.sizes[small])
            else:
                self._tied_to[large] = small
                if large in self.fixed:
                    self.fixed.setdefault(small, self.fixed[large])

    def _fix(self, runs: Iterable[Run], why: str) -> tuple[Run, ...]:
        runs = self._resolve(runs)
        for run in runs:
            self.fixed.setdefault(run.group, why)
        return runs

    @singledispatchmethod
    def _through(self, layer: Layer, inputs: Sequence[tuple[Run, ...]], node: Any) -> Any:
        raise NotImplementedError(
            f"the flow of channels through {type(layer).__name__} is not defined."
        )

    @_through.register(Input)
    @_through.register(Conv2D)
    @_through.register(SeparableConv2D)
    @_through.register(Dense)
    def _(self, layer: Layer, inputs: Any, node: Any) -> tuple[Run, ...]:
        name, shape = node
        runs = (self._new(shape[-1]),)
        return self._fix(runs, f"it is the input {name!r}") if isinstance(layer, Input) else runs

    @_through.register(BatchNormalization)
    @_through.register(ReLU)
    @_through.register(MaxPooling2D)
    @_through.register(AveragePooling2D)
    @_through.register(GlobalAveragePooling2D)
    @_through.register(Dropout)
    def _(self, layer: Layer, inputs: Any, node: Any) -> tuple[Run, ...]:
        return inputs[0]

    @_through.register
    def _(self, layer: Activation, inputs: Any, node: Any) -> tuple[Run, ...]:
        if layer.activation in ELEMENTWISE_ACTIVATIONS:
            return inputs[0]
        return self._fix(inputs[0], f"{node[0]!r} is a {layer.activation} over all channels")

    @_through.register
    def _(self, layer: Rescaling, inputs: Any, node: Any) -> tuple[Run, ...]:
        if isinstance(layer.scale, tuple) or isinstance(layer.offset, tuple):
            return self._fix(inputs[0], f"{node[0]!r} rescales each channel by a number of its own")
        return inputs[0]

    @_through.register
    def _(self, layer: DepthwiseConv2D, inputs: Any, node: Any) -> tuple[Run, ...]:
        return tuple(Run(r.group, r.repeat * layer.depth_multiplier) for r in inputs[0])

    @_through.register
    def _(self, layer: Flatten, inputs: Any, node: Any) -> tuple[Run, ...]:
        channels = sum(self.sizes[r.group] * r.repeat for r in self._resolve(inputs[0]))
        return inputs[0] * (prod(node[1]) // channels)

    @_through.register
    def _(self, layer: Concatenate, inputs: Any, node: Any) -> tuple[Run, ...]:
        return tuple(run for runs in inputs for run in runs)

    @_through.register(Add)
    @_through.register(ConvexSum)
    def _(self, layer: Layer, inputs: Any, node: Any) -> tuple[Run, ...]:
        first = inputs[0]
        for other in inputs[1:]:
            first = self._tie(first, other)
        return first


ABSORBERS = (Conv2D, SeparableConv2D, Dense)


def channel_groups(graph: Graph) -> ChannelGroups:
    """Return the groups of channels of a graph, computed once between two edits."""
    return graph.remembered("channel_groups", _channel_groups)


def _channel_groups(graph: Graph) -> ChannelGroups:
    groups, shapes = ChannelGroups(), graph.shapes()
    for name in graph.order():
        node = graph[name]
        inputs = [groups.runs[i] for i in node.inputs]
        groups.runs[name] = groups._through(node.layer, inputs, (name, shapes[name]))
    groups._fix(groups.runs[graph.output], "it reaches the output")
    groups.runs = {name: groups._resolve(runs) for name, runs in groups.runs.items()}
    return groups


# --- Where channels end up ---------------------------------------------------------------------

PASSING = (
    ReLU,
    MaxPooling2D,
    AveragePooling2D,
    GlobalAveragePooling2D,
    Dropout,
    Flatten,
    Concatenate,
)


def absorbed(graph: Graph) -> frozenset[str]:
    """Return the nodes whose channels meet a convolution or dense layer on every path.

    Before any sum, and before the output: there, channels can be added for which every reader
    gets zeros.
    """
    return graph.remembered("absorbed", _absorbed)


def _absorbed(graph: Graph) -> frozenset[str]:
    found: set[str] = set()
    for name in reversed(graph.order()):
        readers = graph.consumers(name)
        if name != graph.output and all(
            isinstance(graph[r].layer, ABSORBERS) or (r in found and _passes_on(graph[r].layer))
            for r in readers
        ):
            found.add(name)
    return frozenset(found)


def _passes_on(layer: Layer) -> bool:
    if isinstance(layer, Activation):
        return layer.activation in ELEMENTWISE_ACTIVATIONS
    if isinstance(layer, Rescaling):
        return isinstance(layer.scale, float) and isinstance(layer.offset, float)
    return isinstance(layer, (*PASSING, BatchNormalization, DepthwiseConv2D))


def places(graph: Graph, name: str) -> Mapping[str, tuple[int, ...]] | None:
    """Return which layers absorb the channels of a node, and where in their input.

    Returns:
        For each such layer, the offsets in its input's channels at which those of the node begin,
        ascending. None where a path reaches the output, a sum, or a layer that has weights for
        each channel.
    """
    shapes = graph.shapes()
    found: dict[str, list[int]] = {}
    pending = [(name, 0)]
    while pending:
        at, offset = pending.pop()
        if at == graph.output:
            return None
        for reader in graph.consumers(at):
            layer = graph[reader].layer
            if isinstance(layer, ABSORBERS):
                found.setdefault(reader, []).append(offset)
            elif not isinstance(layer, PASSING):
                return None
            elif isinstance(layer, Concatenate):
                before = 0
                for source in graph[reader].inputs:
                    if source == at:
                        pending.append((reader, before + offset))
                    before += shapes[source][-1]
            elif isinstance(layer, Flatten):
                width = shapes[at][-1]
                positions = shapes[reader][-1] // width
                pending.extend((reader, p * width + offset) for p in range(positions))
            else:
                pending.append((reader, offset))
    return {reader: tuple(sorted(offsets)) for reader, offsets in found.items()}


# --- Applying a change -----------------------------------------------------------------------


@dataclass(frozen=True)
class ChannelChange:
    """What a change of channels did.

    Attributes:
        sources: For every node whose output changed, the source of each new channel.
        producers: The nodes whose filters changed.
        carriers: The nodes with weights that pass the changed channels on.
        readers: The nodes that absorb them.
    """

    sources: Mapping[str, np.ndarray]
    producers: tuple[str, ...]
    carriers: tuple[str, ...]
    readers: tuple[str, ...]


def change_channels(graph: Graph, sources: Sources, fresh: Fresh) -> ChannelChange:
    """Change the number of channels of some groups, in place, wherever they occur.

    Readers get zeros for fresh channels, and share the weights of a channel that is split out
    among its copies, so what they compute stays the same.

    Args:
        graph: The graph to edit.
        sources: For each group to change, the source of each new channel.
        fresh: Returns the weights of fresh channels: called with the name of the weight and the
            shape of the whole new weight, of which only the fresh part is used.

    Returns:
        Which nodes changed, and how.

    Raises:
        ValueError: A group is fixed.
    """
    groups = channel_groups(graph)
    why = groups.why_fixed(sources)
    if why is not None:
        raise ValueError(f"these channels cannot change: {why}.")
    outputs = {n: s for n in graph if (s := groups.source(n, sources)) is not None}
    changed: dict[str, list[str]] = {"producers": [], "carriers": [], "readers": []}
    edits: dict[str, Node] = {}
    for name, node in graph.items():
        layer, weights = node.layer, dict(node.weights)
        reads = outputs.get(node.inputs[0]) if node.inputs else None
        if isinstance(layer, ABSORBERS):
            if reads is not None:
                weights = _read(layer, weights, reads)
                changed["readers"].append(name)
            if name in outputs:
                layer, weights = _produce(layer, weights, outputs[name], fresh)
                changed["producers"].append(name)
        elif name in outputs and isinstance(layer, BatchNormalization | DepthwiseConv2D):
            weights = _carry(layer, weights, reads, outputs[name], fresh)
            changed["carriers"].append(name)
        edits[name] = Node(layer, node.inputs, weights)
    for group in ("readers", "producers", "carriers"):
        for name in changed[group]:
            graph.set_layer(name, edits[name].layer, edits[name].weights)
    return ChannelChange(outputs, **{k: tuple(v) for k, v in changed.items()})


def shared_out(kernel: np.ndarray, source: np.ndarray, axis: int) -> np.ndarray:
    """Return a reader's kernel for channels of which some are split, zeros for fresh ones.

    The k copies of a channel get 1, 2, ..., k parts of its weights. Equal parts (Net2Net) would
    give copies with equal weights equal gradients for ever. All but the last part are rounded to
    the precision of the whole, so that their sum is the whole to the last bit.
    """
    taken = take(kernel, source, axis)
    counts = np.bincount(source[source >= 0], minlength=1)
    if counts.max(initial=0) < 2:
        return taken
    copies = np.where(source < 0, 1, counts[source])
    rank = np.array([np.sum(source[:j] == old) for j, old in enumerate(source)])
    along = [1] * kernel.ndim
    along[axis] = -1
    copies, rank = copies.reshape(along), rank.reshape(along)
    unit = np.spacing(np.abs(taken))
    parts = np.rint(taken * ((rank + 1) / (copies * (copies + 1) / 2)) / unit) * unit
    others = sum(
        np.rint(taken * ((r + 1) / (copies * (copies + 1) / 2)) / unit) * unit * (r < copies - 1)
        for r in range(int(copies.max()) - 1)
    )
    return np.where(rank < copies - 1, parts, taken - others).astype(kernel.dtype)


def take(array: np.ndarray, source: np.ndarray, axis: int, fill: Any = 0.0) -> np.ndarray:
    """Return the array with index j along an axis from source[j]; from `fill` where fresh.

    Args:
        fill: A number, or an array of the new shape.
    """
    taken = np.take(array, np.maximum(source, 0), axis=axis)
    is_fresh = source < 0
    if is_fresh.any():
        where = [slice(None)] * array.ndim
        where[axis] = is_fresh
        taken[tuple(where)] = fill[tuple(where)] if isinstance(fill, np.ndarray) else fill
    return taken


def _read(layer: Layer, weights: dict[str, np.ndarray], source: np.ndarray) -> dict[str, Any]:
    """Return the weights of a reader whose input changed."""
    if not weights:
        return weights
    if isinstance(layer, SeparableConv2D):
        multiplier = layer.depth_multiplier
        inner = np.arange(multiplier)
        wide = np.where(source[:, None] < 0, FRESH, source[:, None] * multiplier + inner).ravel()
        pointwise = shared_out(weights["pointwise_kernel"], wide, 2)
        # A fresh channel reads through a depthwise kernel that is not zero: it passes the centre
        # on. With zeros on both sides neither would ever move.
        depthwise = take(weights["depthwise_kernel"], source, 2)
        height, width = layer.kernel_size
        depthwise[height // 2, width // 2, source < 0] = 1.0
        return {**weights, "depthwise_kernel": depthwise, "pointwise_kernel": pointwise}
    axis = 0 if isinstance(layer, Dense) else 2
    return {**weights, "kernel": shared_out(weights["kernel"], source, axis)}


def _produce(
    layer: Any, weights: dict[str, np.ndarray], source: np.ndarray, fresh: Fresh
) -> tuple[Layer, dict[str, Any]]:
    """Return the layer and the weights of a producer whose output changed."""
    size = "units" if isinstance(layer, Dense) else "filters"
    layer = replace(layer, **{size: len(source)})
    kernel = "pointwise_kernel" if isinstance(layer, SeparableConv2D) else "kernel"
    new = dict(weights)
    if weights:
        shape = (*weights[kernel].shape[:-1], len(source))
        values = fresh(kernel, shape) if (source < 0).any() else 0.0
        new[kernel] = take(weights[kernel], source, -1, fill=values)
        if "bias" in weights:
            new["bias"] = take(weights["bias"], source, 0)
    return layer, new


_FRESH_STATISTICS = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}


def _carry(
    layer: Layer,
    weights: dict[str, np.ndarray],
    reads: np.ndarray | None,
    source: np.ndarray,
    fresh: Fresh,
) -> dict[str, Any]:
    """Return the weights of a batch norm or a depthwise convolution on changed channels."""
    if not weights or isinstance(layer, BatchNormalization):
        return {k: take(v, source, 0, fill=_FRESH_STATISTICS[k]) for k, v in weights.items()}
    shape = (*weights["kernel"].shape[:2], len(reads), weights["kernel"].shape[3])
    values = fresh("kernel", shape) if (reads < 0).any() else 0.0
    new = {"kernel": take(weights["kernel"], reads, 2, fill=values)}
    return {**new, **({"bias": take(weights["bias"], source, 0)} if "bias" in weights else {})}
