"""Changes of the number of channels, wherever they occur in a network.

Widening and pruning are the same operation: channel j of the new tensor is channel ``source[j]`` of
the old one, or fresh. `channel_groups` determines which channels can only change together. A change
maps some groups to sources; applying it edits every node whose input or output contains one of
them:

- *producers* (convolutions and dense layers) get new filters for fresh channels: W[..., source];
- *carriers* (batch norms, depthwise convolutions and other layers with weights per channel) select
  these weights;
- *absorbers* (convolutions and dense layers) get kernels W[source, ...] along their input axis,
  zero for fresh channels. If channel c is split into copies c_1, ..., c_k, their weights add up to
  the weights of c. As sum_i (w_i x) = w x, the function of the network does not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lemonade_tf.architecture.channel_groups import (
    ChannelGroups,
    Sources,
    channel_groups,
)
from lemonade_tf.architecture.channel_weights import (
    ABSORBERS,
    CARRIERS,
    Fresh,
    absorb,
    carry,
    carry_depthwise,
    produce,
)
from lemonade_tf.architecture.graph import Graph, Node
from lemonade_tf.architecture.layers import (
    ELEMENTWISE_ACTIVATIONS,
    ELU,
    Activation,
    BatchNormalization,
    ChannelSlice,
    Concatenate,
    Conv2D,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalPooling2D,
    Layer,
    LayerScale,
    LeakyReLU,
    Pooling2D,
    PReLU,
    ReLU,
    Rescaling,
    Reshape,
    Resizing,
    TrainingOnly,
    UpSampling2D,
    ZeroPadding2D,
)
from lemonade_tf.architecture.opaque import Pointwise

# --- The layers that consume channels ----------------------------------------------------------

# Layers without weights that pass the channels of their input on, in a known place.
PASS_THROUGH = (
    ReLU,
    LeakyReLU,
    ELU,
    Pooling2D,
    GlobalPooling2D,
    ZeroPadding2D,
    Cropping2D,
    UpSampling2D,
    Resizing,
    Dropout,
    TrainingOnly,
    Flatten,
    Concatenate,
    Pointwise,
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
        if name not in graph.outputs and all(
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
    # Neither a group normalization nor a slice: whether they pass channels on depends on which.
    return isinstance(
        layer, (*PASS_THROUGH, BatchNormalization, DepthwiseConv2D, LayerScale, PReLU)
    )


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
        if at in graph.outputs:
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
        ValueError: If a group is fixed, or if one that is capped gets channels.
    """
    groups = channel_groups(graph)
    reason = groups.why_fixed(sources)
    if reason is not None:
        raise ValueError(f"these channels cannot change: {reason}.")
    growing = [g for g, source in sources.items() if (np.diff(source, prepend=-1) <= 0).any()]
    reason = groups.why_capped(growing)
    if reason is not None:
        raise ValueError(f"these channels can only be removed: {reason}.")
    outputs = {n: s for n in graph if (s := groups.source(n, sources)) is not None}
    changed: dict[str, list[str]] = {"producers": [], "carriers": [], "absorbers": []}
    resized: list[str] = []  # layers without weights whose arguments count channels
    # All edits are computed first: setting a layer invalidates the cached groups and shapes.
    edits: dict[str, Node] = {}
    for name, node in graph.items():
        layer, weights = node.layer, dict(node.weights)
        consumed = outputs.get(node.inputs[0]) if node.inputs else None
        if isinstance(layer, ABSORBERS):
            if consumed is not None:
                weights = absorb(layer, weights, consumed)
                changed["absorbers"].append(name)
            if name in outputs:
                layer, weights = produce(layer, weights, outputs[name], fresh)
                changed["producers"].append(name)
        elif name in outputs and isinstance(layer, CARRIERS):
            layer, weights = carry(layer, weights, outputs[name], graph.shapes()[name][-1])
            changed["carriers"].append(name)
        elif consumed is not None and isinstance(layer, DepthwiseConv2D):
            weights = carry_depthwise(weights, consumed, outputs[name], fresh)
            changed["carriers"].append(name)
        elif consumed is not None and isinstance(layer, ChannelSlice):
            layer = _moved_slice(groups, layer, node.inputs[0], sources)
            resized.append(name)
        elif name in outputs and isinstance(layer, Reshape) and layer.target_shape[-1] > 0:
            layer = Reshape((*layer.target_shape[:-1], len(outputs[name])))
            resized.append(name)
        edits[name] = Node(layer, node.inputs, weights)
    for first, *others in graph.calls().values():  # fresh values are drawn once
        edits.update({n: replace(edits[n], weights=edits[first].weights) for n in others})
    for group in ("absorbers", "producers", "carriers"):
        for name in changed[group]:
            graph.set_layer(name, edits[name].layer, edits[name].weights)
    for name in resized:
        graph.set_layer(name, edits[name].layer)
    return ChannelChange(outputs, **{k: tuple(v) for k, v in changed.items()})


def _moved_slice(
    groups: ChannelGroups, layer: ChannelSlice, before: str, sources: Sources
) -> ChannelSlice:
    """Return a slice of the channels of the node `before`, which change."""
    start, stop = (groups.new_position(before, at, sources) for at in (layer.start, layer.stop))
    return ChannelSlice(start, stop)


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
