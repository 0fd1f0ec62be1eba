"""Remove a layer or a skip: an approximate network morphism (section 3.2, item i).

A *layer* is a Conv-BatchNorm-ReLU block (in imported networks, it may end in another activation,
and have no batch norm).
Its consumers take its input instead. Where they can absorb that (convolutions and dense layers,
possibly after pooling, activations or concatenations), they start from the composition of what was
removed and what they did, as if the ReLU had not been there: with the removed kernel K scaled by
the batch norm, a consumer's kernel R starts as R * K, cropped to the size of R. Where a sum
consumes the layer, the layer is left out as if it had been the identity, which requires equal
numbers of channels.

A *skip* ends in a convex sum or a concatenation. Its consumers then take the main path alone, and
layers that only the skip used are removed with it. Imported networks have residual sums: of the two
inputs of an Add, the one whose branch has weights is removed, if the other has none.

A layer or a branch is removed only where this lowers the number of parameters: the middle of a
64-8-64 bottleneck stays. A skip can always be removed, even if it has no parameters.

Affected, and therefore distilled, are the immediate predecessor and successor layers (A.1), a batch
norm counting as part of its convolution. With training images at hand, least squares fits the
successors to compensate for what they lost, before any training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import (
    absorbing_consumers,
    can_append_channels,
    change_consumers,
)
from lemonade_tf.architecture.cost import layer_parameters
from lemonade_tf.architecture.layer_lists import kind_name
from lemonade_tf.architecture.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    ConvexSum,
)
from lemonade_tf.operators.affected import (
    fit_repairs,
    normalizations_after,
    statistics_repairs,
)
from lemonade_tf.operators.base import Operator
from lemonade_tf.operators.blocks import CONVOLUTIONS, block_at
from lemonade_tf.operators.change import Change, topological_order
from lemonade_tf.operators.kernels import (
    compose,
    full_kernel,
    is_contiguous,
    same_window,
    with_kernel,
)

_MERGES = (ConvexSum, Concatenate, Add)


@dataclass(frozen=True)
class RemoveSite:
    """The block, skip or branch to remove.

    Attributes:
        node: The convolution of a block, or the sum or concatenation at the end of a skip or a
            residual branch.
    """

    node: str


class Remove(Operator):
    """Remove a Conv-BatchNorm-ReLU block, a skip connection or a residual branch."""

    name = "remove"
    exact = False
    site = RemoveSite

    def _sites(self, graph: Graph) -> Iterator[RemoveSite]:
        removable = (*CONVOLUTIONS, *_MERGES)
        return (
            RemoveSite(name)
            for name in graph.topological_order()
            if isinstance(graph[name].layer, removable)
        )

    def _refusal(self, graph: Graph, site: RemoveSite) -> str | None:
        layer = graph[site.node].layer
        if isinstance(layer, CONVOLUTIONS):
            return _block_refusal(graph, site.node)
        if not isinstance(layer, _MERGES):
            return (
                f"{site.node!r} is a {kind_name(layer)}; expected a convolution followed by"
                " an activation, with or without batch norm, or the sum or concatenation at the end"
                " of a skip or branch"
            )
        if _main_path(graph, site.node) is None:
            return (
                f"{site.node!r} is not the end of a skip or branch that can be removed: a convex"
                " sum, a concatenation whose consumers accept fewer channels, or an Add with"
                " weights in one branch only"
            )
        return None

    def _apply(self, graph: Graph, site: RemoveSite, rng: np.random.Generator) -> Change:
        block = block_at(graph, site.node)
        return _remove_skip(graph, site.node) if block is None else _remove_block(graph, block)


# --- A block -------------------------------------------------------------------------------------


def _block_refusal(graph: Graph, convolution: str) -> str | None:
    """Return why the block at a convolution cannot be removed, or None."""
    names = block_at(graph, convolution)
    if names is None:
        return (
            f"{convolution!r} is not followed by batch norm and an activation alone, or by an"
            " activation alone"
        )
    if names[-1] in graph.outputs:
        return f"{names[-1]!r}, the end of the block at {convolution!r}, is the output"
    shapes = graph.shapes()
    before, after = shapes[graph[convolution].inputs[0]], shapes[convolution]
    if not same_window(graph[convolution].layer):
        return f"{convolution!r} changes the shape {before} to {after}, or pads unevenly"
    consumers = absorbing_consumers(graph, names[-1])
    if consumers is None:  # a sum or the like, which cannot take another number of channels
        if before == after:
            return None
        return (
            f"{convolution!r} changes the number of channels from {before[-1]} to {after[-1]}, and"
            " not all of its consumers are convolutions or dense layers, which accept any number"
        )
    removed = sum(layer_parameters(graph[n].layer, *graph.input_shapes(n)) for n in names)
    for consumer, offsets in consumers.items():
        layer, (shape,) = graph[consumer].layer, graph.input_shapes(consumer)
        # The channels before the block replace those after it, at every offset where they occur.
        grown = (*shape[:-1], shape[-1] + len(offsets) * (before[-1] - after[-1]))
        removed += layer_parameters(layer, shape) - layer_parameters(layer, grown)
    if removed > 0:
        return None
    return f"the network without {convolution!r} would not have fewer parameters"


def _remove_block(graph: Graph, block: Sequence[str]) -> Change:
    convolution, *normalization, activation = block
    before = graph[convolution].inputs[0]
    if graph.has_weights:
        node, width = graph[convolution], graph.shapes()[activation][-1]
        removed = full_kernel(node.layer, node.weights) * _scale(graph, *normalization)
        contiguous = is_contiguous(node.layer)
        for consumer, offsets in (absorbing_consumers(graph, activation) or {}).items():
            layer, weights = graph[consumer].layer, graph[consumer].weights
            # For a consumer of single pixels (a dense layer after pooling, a 1x1 convolution) the
            # composition would be cropped to the center of the removed kernel; that of kernels with
            # gaps has no such form. The mean of a neighborhood is about the value at its center, so
            # all of the removed kernel counts there.
            kernel, part = full_kernel(layer, weights), removed
            if kernel.shape[:2] == (1, 1) or not (is_contiguous(layer) and contiguous):
                part = removed.sum(axis=(0, 1), keepdims=True)
            kernel = _composed_at(kernel, offsets, width, part)
            graph.set_layer(consumer, layer, with_kernel(layer, weights, kernel))
    graph.redirect(activation, before)
    graph.remove_unused()
    return _change(graph, before)


def _scale(graph: Graph, normalization: str | None = None) -> np.ndarray | float:
    """Return the factor by which a batch norm multiplies each channel at inference; 1 without."""
    if normalization is None:
        return 1.0
    layer, weights = (
        cast(BatchNormalization, graph[normalization].layer),
        graph[normalization].weights,
    )
    return weights.get("gamma", 1.0) / np.sqrt(weights["moving_variance"] + layer.epsilon)


def _composed_at(
    kernel: np.ndarray, offsets: Sequence[int], width: int, removed: np.ndarray
) -> np.ndarray:
    """Return a consumer's kernel composed with a removed one, at each offset where it was consumed.

    Args:
        kernel: (height, width, in, out), of the consumer.
        offsets: Where the channels of the removed block start in its input, ascending.
        width: How many channels these are.
        removed: (height, width, in, width), of the removed convolution, scaled.
    """
    parts, at = [], 0
    for offset in offsets:
        parts.append(kernel[:, :, at:offset])
        at = offset + width
        parts.append(compose(removed, kernel[:, :, offset:at]))
    parts.append(kernel[:, :, at:])
    return np.concatenate(parts, axis=2)


# --- A skip --------------------------------------------------------------------------------------


def _main_path(graph: Graph, merge: str) -> str | None:
    """Return the input that can replace a merge, None if there is no skip to remove."""
    node = graph[merge]
    if len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
        return None
    first, second = node.inputs
    if isinstance(node.layer, Concatenate):  # where channels can be appended, they can be removed
        return first if can_append_channels(graph, merge) else None
    if isinstance(node.layer, ConvexSum):
        return first
    shapes = graph.shapes()
    if not shapes[first] == shapes[second] == shapes[merge]:
        return None  # one is broadcast, so it cannot replace the sum
    second_is_skip = _has_own_parameters(graph, second, merge)
    if second_is_skip == _has_own_parameters(graph, first, merge):
        return None
    return first if second_is_skip else second


def _has_own_parameters(graph: Graph, name: str, consumer: str) -> bool:
    """Return whether parameters are removed when `consumer` no longer consumes `name`."""
    # Nodes become unused from `name` upwards, until one has another consumer.
    if graph.consumers(name) != (consumer,):
        return False
    if layer_parameters(graph[name].layer, *graph.input_shapes(name)):
        return True
    return any(_has_own_parameters(graph, source, name) for source in graph[name].inputs)


def _remove_skip(graph: Graph, merge: str) -> Change:
    main = cast(str, _main_path(graph, merge))  # not None: the site was not refused
    sources = {}
    if isinstance(graph[merge].layer, Concatenate):
        # The main path is the first input: its channels come first, and all others are dropped.
        kept = np.arange(graph.shapes()[main][-1])
        change = change_consumers(graph, merge, kept, lambda _, shape: np.zeros(shape))
        sources = change.sources
    graph.redirect(merge, main)
    graph.remove_unused()
    return _change(graph, main, sources)


# --- What distillation trains --------------------------------------------------------------------


def _change(graph: Graph, place: str, sources: Mapping[str, np.ndarray] | None = None) -> Change:
    """Return the change of a graph from which something after `place` was removed."""
    after = _first_after(graph, place)
    affected = {*_last_up_to(graph, place), *after}
    # A convex sum around a removed block now blends a node with itself.
    _remove_idle_sums(graph)
    after = topological_order(graph, after)
    repairs = (*fit_repairs(graph, after), *statistics_repairs(graph, after))
    return Change(graph, topological_order(graph, affected), repairs, sources or {})


def _last_up_to(graph: Graph, place: str) -> set[str]:
    """Return the last layers with weights up to a place, a batch norm with its convolution."""
    found: set[str] = set()
    pending = [place]  # walk upwards; stop at weights, but not between batch norm and convolution
    while pending:
        name = pending.pop()
        if _has_weights(graph, name):
            found.add(name)
        if name not in found or isinstance(graph[name].layer, BatchNormalization):
            pending.extend(graph[name].inputs)
    return found


def _first_after(graph: Graph, place: str) -> set[str]:
    """Return the first layers with weights after a place, convolutions with their batch norms.

    A batch norm that comes first (imported networks that activate before they convolve) is part
    of the convolution after it.
    """
    found: set[str] = set()
    pending = list(graph.consumers(place))
    while pending:
        name = pending.pop()
        if _has_weights(graph, name):
            found.update({name, *normalizations_after(graph, name)})
        if name not in found or isinstance(graph[name].layer, BatchNormalization):
            pending.extend(n for n in graph.consumers(name) if n not in found)
    return found


def _has_weights(graph: Graph, name: str) -> bool:
    return bool(graph.weight_shapes(name)) and not isinstance(graph[name].layer, ConvexSum)


def _remove_idle_sums(graph: Graph) -> None:
    """Remove convex sums of a node with itself, which are the identity."""
    for name in graph.topological_order():
        node = graph[name]
        if isinstance(node.layer, ConvexSum) and node.inputs[0] == node.inputs[1]:
            graph.redirect(name, node.inputs[0])
            graph.remove(name)
