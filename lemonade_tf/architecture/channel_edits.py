"""Change the number of channels everywhere at once, and where channels end up.

Widening and pruning are one act: channel j of the new tensor is channel ``source[j]`` of the old
one, or fresh. Which channels can only change together is said by `groups`; a change maps some
groups to sources, and applying it gives every node that carries one of them the layer and the
weights that follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lemonade_tf.architecture.channel_groups import Sources, channel_groups, repeated
from lemonade_tf.architecture.graph import Graph, Node
from lemonade_tf.architecture.layers import (
    ELEMENTWISE_ACTIVATIONS,
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Reshape,
    SeparableConv2D,
    ZeroPadding2D,
)

Fresh = Callable[[str, tuple[int, ...]], np.ndarray]  # (name of the weight, shape) -> values

ABSORBERS = (Conv2D, SeparableConv2D, Dense)


# --- Where channels end up ---------------------------------------------------------------------

PASSING = (
    ReLU,
    MaxPooling2D,
    AveragePooling2D,
    GlobalAveragePooling2D,
    ZeroPadding2D,
    Cropping2D,
    Dropout,
    Flatten,
    Concatenate,
)


def absorbs(layer: Layer) -> bool:
    """Return whether a layer can absorb any number of channels: not in blocks, as with groups."""
    return isinstance(layer, ABSORBERS) and not (isinstance(layer, Conv2D) and layer.groups > 1)


def can_append_channels(graph: Graph, name: str) -> bool:
    """Return whether the output of a node can get more channels without any other effect.

    True if every path from the node meets a convolution or a dense layer before a sum, a product,
    a grouped convolution or the output: that layer absorbs the new channels with zero weights.
    """
    return name in graph.cached("absorbed", _absorbed_nodes)


def _absorbed_nodes(graph: Graph) -> frozenset[str]:
    found: set[str] = set()
    for name in reversed(graph.topological_order()):
        readers = graph.consumers(name)
        if name != graph.output and all(
            absorbs(graph[r].layer) or (r in found and _passes_on(graph[r].layer)) for r in readers
        ):
            found.add(name)
    return frozenset(found)


def _passes_on(layer: Layer) -> bool:
    if isinstance(layer, Activation):
        return layer.activation in ELEMENTWISE_ACTIVATIONS
    if isinstance(layer, Rescaling):
        return isinstance(layer.scale, float) and isinstance(layer.offset, float)
    return isinstance(layer, (*PASSING, BatchNormalization, DepthwiseConv2D))


def absorbing_consumers(graph: Graph, name: str) -> Mapping[str, tuple[int, ...]] | None:
    """Return which layers absorb the channels of a node, and where in their input.

    Returns:
        For each such layer, the offsets in its input's channels at which those of the node begin,
        ascending. None where a path reaches the output, a sum or a product, a layer that has
        weights for each channel, or one whose arguments say how many there are.
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
            if absorbs(layer):
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
        absorbers: The nodes that absorb them.
    """

    sources: Mapping[str, np.ndarray]
    producers: tuple[str, ...]
    carriers: tuple[str, ...]
    absorbers: tuple[str, ...]


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
    changed: dict[str, list[str]] = {"producers": [], "carriers": [], "absorbers": []}
    edits: dict[str, Node] = {}
    for name, node in graph.items():
        layer, weights = node.layer, dict(node.weights)
        reads = outputs.get(node.inputs[0]) if node.inputs else None
        if isinstance(layer, ABSORBERS):
            if reads is not None:
                weights = _read(layer, weights, reads)
                changed["absorbers"].append(name)
            if name in outputs:
                layer, weights = _produce(layer, weights, outputs[name], fresh)
                changed["producers"].append(name)
        elif name in outputs and isinstance(layer, BatchNormalization | DepthwiseConv2D):
            weights = _carry(layer, weights, reads, outputs[name], fresh)
            changed["carriers"].append(name)
        edits[name] = Node(layer, node.inputs, weights)
    for group in ("absorbers", "producers", "carriers"):
        for name in changed[group]:
            graph.set_layer(name, edits[name].layer, edits[name].weights)
    for name, source in outputs.items():
        layer = graph[name].layer
        if isinstance(layer, Reshape) and layer.target_shape[-1] > 0:
            graph.set_layer(name, Reshape((*layer.target_shape[:-1], len(source))))
    return ChannelChange(outputs, **{k: tuple(v) for k, v in changed.items()})


def change_consumers(graph: Graph, name: str, source: np.ndarray, fresh: Fresh) -> ChannelChange:
    """Change what the readers of a node expect of it, in place, and nothing before them.

    The node is left for the caller to make into one that puts out the new channels: until then, a
    dense layer of their number stands in its place, on its first input, and begins a group of
    channels of its own. No path from the node may meet a sum before it is absorbed.

    Args:
        graph: The graph to edit.
        name: The node.
        source: Where each of its new channels comes from.
        fresh: As for `change_channels`.

    Raises:
        ValueError: A path from the node meets the output.
    """
    node = graph[name]
    stand_in = Dense(graph.shapes()[name][-1], use_bias=False)
    graph.set_layer(name, stand_in, weights={}, inputs=node.inputs[:1])
    (group,) = channel_groups(graph).groups_of(name)
    change = change_channels(graph, {group: source}, fresh)
    return replace(change, producers=tuple(n for n in change.producers if n != name))


def split_among_copies(kernel: np.ndarray, source: np.ndarray, axis: int) -> np.ndarray:
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
        pointwise = split_among_copies(
            weights["pointwise_kernel"], repeated(source, layer.depth_multiplier), 2
        )
        # A fresh channel reads through a depthwise kernel that is not zero: it passes the centre
        # on. With zeros on both sides neither would ever move.
        depthwise = take(weights["depthwise_kernel"], source, 2)
        height, width = layer.kernel_size
        depthwise[height // 2, width // 2, source < 0] = 1.0
        return {**weights, "depthwise_kernel": depthwise, "pointwise_kernel": pointwise}
    if isinstance(layer, Conv2D):  # the blocks of a grouped one are tied: all change like the first
        source = source[: len(source) // layer.groups]
    axis = 0 if isinstance(layer, Dense) else 2
    return {**weights, "kernel": split_among_copies(weights["kernel"], source, axis)}


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
