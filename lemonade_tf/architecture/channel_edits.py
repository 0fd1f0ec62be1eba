"""Changes of the number of channels, wherever they occur in a network.

Widening and pruning are the same operation: channel j of the new tensor is channel ``source[j]`` of
the old one, or fresh. `channel_groups` determines which channels can only change together. A change
maps some groups to sources; applying it edits every node whose input or output contains one of
them:

- *producers* (convolutions and dense layers) get new filters for fresh channels: W[..., source];
- *carriers* (batch norms and depthwise convolutions) select their weights per channel;
- *absorbers* (convolutions and dense layers) get kernels W[source, ...] along their input axis,
  zero for fresh channels. If channel c is split into copies c_1, ..., c_k, their weights add up to
  the weights of c. As sum_i (w_i x) = w x, the function of the network does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lemonade_tf.architecture.channel_groups import Sources, channel_groups, repeat_channels
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


# --- The layers that consume channels ----------------------------------------------------------

# Layers without weights that pass the channels of their input on, in a known place.
PASS_THROUGH = (
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
    """Return whether a layer can absorb any number of channels; a grouped convolution cannot."""
    return isinstance(layer, ABSORBERS) and not (isinstance(layer, Conv2D) and layer.groups > 1)


def can_append_channels(graph: Graph, name: str) -> bool:
    """Return whether the output of a node can get more channels without any other effect.

    True if every path from the node reaches a convolution or a dense layer before a sum, a product,
    a grouped convolution or the output: that layer absorbs the new channels with zero weights.
    """
    return name in graph.cached("absorbed", _absorbed_nodes)


def _absorbed_nodes(graph: Graph) -> frozenset[str]:
    found: set[str] = set()
    # From the output backwards, so that the answer for the consumers of a node is known.
    for name in reversed(graph.topological_order()):
        if name != graph.output and all(
            absorbs(graph[c].layer) or (c in found and _passes_on(graph[c].layer))
            for c in graph.consumers(name)
        ):
            found.add(name)
    return frozenset(found)


def _passes_on(layer: Layer) -> bool:
    if isinstance(layer, Activation):
        return layer.activation in ELEMENTWISE_ACTIVATIONS
    if isinstance(layer, Rescaling):
        return isinstance(layer.scale, float) and isinstance(layer.offset, float)
    return isinstance(layer, (*PASS_THROUGH, BatchNormalization, DepthwiseConv2D))


def absorbing_consumers(graph: Graph, name: str) -> Mapping[str, tuple[int, ...]] | None:
    """Return the layers that absorb the channels of a node, and the position of these in their
    input.

    Returns:
        For each such layer, the indices of input channels at which the channels of the node start,
        ascending. None if a path reaches the output, a sum or a product, a layer with weights per
        channel, or a layer whose arguments fix the number of channels.
    """
    shapes = graph.shapes()
    found: dict[str, list[int]] = {}
    pending = [(name, 0)]  # nodes that have the channels, starting at an offset of their output
    while pending:
        at, offset = pending.pop()
        if at == graph.output:
            return None
        for consumer in graph.consumers(at):
            layer = graph[consumer].layer
            if absorbs(layer):
                found.setdefault(consumer, []).append(offset)
            elif not isinstance(layer, PASS_THROUGH):
                return None
            elif isinstance(layer, Concatenate):
                before = 0
                for source in graph[consumer].inputs:
                    if source == at:
                        pending.append((consumer, before + offset))
                    before += shapes[source][-1]
            elif isinstance(layer, Flatten):
                width = shapes[at][-1]
                pixels = shapes[consumer][-1] // width
                pending.extend((consumer, p * width + offset) for p in range(pixels))
            else:
                pending.append((consumer, offset))
    return {consumer: tuple(sorted(offsets)) for consumer, offsets in found.items()}


# --- Applying a change -----------------------------------------------------------------------


@dataclass(frozen=True)
class ChannelChange:
    """The nodes that a change of channels edited.

    Attributes:
        sources: For every node whose output changed, the source of each new channel.
        producers: The nodes whose filters changed.
        carriers: The nodes with weights per channel that pass the changed channels on.
        absorbers: The nodes that absorb them.
    """

    sources: Mapping[str, np.ndarray]
    producers: tuple[str, ...]
    carriers: tuple[str, ...]
    absorbers: tuple[str, ...]


def change_channels(graph: Graph, sources: Sources, fresh: Fresh) -> ChannelChange:
    """Change the channels of some groups, in place, wherever they occur.

    Absorbers get zero weights for fresh channels, and the weights of a channel that is split are
    split among its copies, so what they compute stays the same.

    Args:
        graph: The graph to edit.
        sources: For each group to change, the source of each new channel.
        fresh: Returns the weights of fresh channels. It is called with the name of the weight and
            the shape of the whole new weight, of which only the fresh part is used.

    Raises:
        ValueError: If a group is fixed.
    """
    groups = channel_groups(graph)
    reason = groups.why_fixed(sources)
    if reason is not None:
        raise ValueError(f"these channels cannot change: {reason}.")
    outputs = {n: s for n in graph if (s := groups.source(n, sources)) is not None}
    changed: dict[str, list[str]] = {"producers": [], "carriers": [], "absorbers": []}
    # All edits are computed first: setting a layer invalidates the cached groups and shapes.
    edits: dict[str, Node] = {}
    for name, node in graph.items():
        layer, weights = node.layer, dict(node.weights)
        consumed = outputs.get(node.inputs[0]) if node.inputs else None
        if isinstance(layer, ABSORBERS):
            if consumed is not None:
                weights = _absorb(layer, weights, consumed)
                changed["absorbers"].append(name)
            if name in outputs:
                layer, weights = _produce(layer, weights, outputs[name], fresh)
                changed["producers"].append(name)
        elif name in outputs and isinstance(layer, BatchNormalization):
            weights = _carry_batch_norm(weights, outputs[name])
            changed["carriers"].append(name)
        elif consumed is not None and isinstance(layer, DepthwiseConv2D):
            weights = _carry_depthwise(weights, consumed, outputs[name], fresh)
            changed["carriers"].append(name)
        edits[name] = Node(layer, node.inputs, weights)
    for group in ("absorbers", "producers", "carriers"):
        for name in changed[group]:
            graph.set_layer(name, edits[name].layer, edits[name].weights)
    for name, source in outputs.items():
        layer = graph[name].layer
        if isinstance(layer, Reshape) and layer.target_shape[-1] > 0:  # it counts channels itself
            graph.set_layer(name, Reshape((*layer.target_shape[:-1], len(source))))
    return ChannelChange(outputs, **{k: tuple(v) for k, v in changed.items()})


def change_consumers(graph: Graph, name: str, source: np.ndarray, fresh: Fresh) -> ChannelChange:
    """Change the channels that the consumers of a node expect, in place, and nothing before them.

    The caller has to replace the node by one that outputs the new channels. Until then a dense
    layer with their number takes its place, because that starts a new group. Every path from the
    node must reach an absorber before a sum.

    Args:
        graph: The graph to edit.
        name: The node.
        source: The source of each of its new channels.
        fresh: As for `change_channels`.

    Raises:
        ValueError: If a path from the node reaches the output.
    """
    node = graph[name]
    stand_in = Dense(graph.shapes()[name][-1], use_bias=False)
    graph.set_layer(name, stand_in, weights={}, inputs=node.inputs[:1])
    # The stand-in starts a separate group, so the consumers are independent of everything before
    # the node.
    (group,) = channel_groups(graph).groups_of(name)
    change = change_channels(graph, {group: source}, fresh)
    return replace(change, producers=tuple(n for n in change.producers if n != name))


def split_among_copies(kernel: np.ndarray, source: np.ndarray, axis: int) -> np.ndarray:
    """Return an absorber's kernel for new channels, with zeros for fresh ones.

    The k copies of a channel get 1, 2, ..., k parts of k (k + 1) / 2 of its weights. With equal
    parts, as in Net2Net, copies that have equal filters would get equal gradients and stay equal
    indefinitely. The first k - 1 parts are rounded to multiples of the spacing of floats at the
    weight itself. Then all sums and differences are exact, and the parts add up to the weight to
    the last bit.
    """
    taken = take(kernel, source, axis)
    counts = np.bincount(source[source >= 0], minlength=1)
    if counts.max(initial=0) < 2:
        return taken
    copies = np.where(source < 0, 1, counts[source])
    rank = np.array([np.sum(source[:j] == old) for j, old in enumerate(source)])  # 0 to k - 1
    along = [1] * kernel.ndim
    along[axis] = -1
    copies, rank = copies.reshape(along), rank.reshape(along)
    spacing = np.spacing(np.abs(taken))

    def part(r: Any) -> np.ndarray:
        return np.rint(taken * ((r + 1) / (copies * (copies + 1) / 2)) / spacing) * spacing

    others = sum(part(r) * (r < copies - 1) for r in range(int(copies.max()) - 1))
    return np.where(rank < copies - 1, part(rank), taken - others).astype(kernel.dtype)


def take(array: np.ndarray, source: np.ndarray, axis: int, fill: Any = 0.0) -> np.ndarray:
    """Return an array whose index j along an axis is index source[j] of the given one.

    Args:
        array: The array.
        source: The indices; negative where the values of `fill` are used.
        axis: The axis.
        fill: A number, or an array of the new shape.
    """
    taken = np.take(array, np.maximum(source, 0), axis=axis)  # fresh ones are overwritten below
    is_fresh = source < 0
    if is_fresh.any():
        where: list[Any] = [slice(None)] * array.ndim
        where[axis] = is_fresh
        taken[tuple(where)] = fill[tuple(where)] if isinstance(fill, np.ndarray) else fill
    return taken


def _absorb(layer: Layer, weights: dict[str, np.ndarray], source: np.ndarray) -> dict[str, Any]:
    """Return the weights of an absorber whose input changed."""
    if not weights:
        return weights
    if isinstance(layer, SeparableConv2D):
        pointwise = split_among_copies(
            weights["pointwise_kernel"], repeat_channels(source, layer.depth_multiplier), 2
        )
        # The depthwise kernel of a fresh channel is not zero but the identity: only the pointwise
        # kernel is zero. With zeros in both, both would have zero gradients and never change.
        depthwise = take(weights["depthwise_kernel"], source, 2)
        height, width = layer.kernel_size
        depthwise[height // 2, width // 2, source < 0] = 1.0
        return {**weights, "depthwise_kernel": depthwise, "pointwise_kernel": pointwise}
    if isinstance(layer, Conv2D):  # its blocks are tied, so all of them change like the first
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


def _carry_batch_norm(weights: Mapping[str, np.ndarray], source: np.ndarray) -> dict[str, Any]:
    """Return the weights of a batch norm whose channels changed."""
    return {k: take(v, source, 0, fill=_FRESH_STATISTICS[k]) for k, v in weights.items()}


def _carry_depthwise(
    weights: Mapping[str, np.ndarray], consumed: np.ndarray, source: np.ndarray, fresh: Fresh
) -> dict[str, Any]:
    """Return the weights of a depthwise convolution whose input and output channels changed."""
    if not weights:
        return {}
    shape = (*weights["kernel"].shape[:2], len(consumed), weights["kernel"].shape[3])
    values = fresh("kernel", shape) if (consumed < 0).any() else 0.0
    new = {"kernel": take(weights["kernel"], consumed, 2, fill=values)}
    return {**new, **({"bias": take(weights["bias"], source, 0)} if "bias" in weights else {})}
