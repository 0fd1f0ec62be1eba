"""Remove a layer or a skip: an approximate network morphism (section 3.2, item i).

A *layer* is a convolution with the batch norm and the ReLU behind it. Its readers then read what
it read. Where they can absorb that (convolutions and dense layers, perhaps behind pooling,
activations or concatenations), they start from the composition of what was removed and what they
did, as if the ReLU had not been there: with the removed kernel K scaled by the batch norm,
readers R start from R * K, cropped to the size of R. Where a sum reads the layer, it is left out as
if it had been the identity, which needs equal numbers of channels.

A *skip* ends in a convex sum or a concatenation; its readers then read the main path alone, and
what only the skip used goes with it.

Sites are listed only where parameters become fewer: the middle of a 64-8-64 bottleneck stays, and
so does a convex sum that has no 1x1 convolution, which costs no parameters at all.

Affected, and so distilled, are the immediate predecessor and successor layers (A.1), a batch norm
counting as part of its convolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channels import absorbed, change_channels, channel_groups, places
from lemonade_tf.architecture.cost import layer_parameters
from lemonade_tf.architecture.layers import (
    BatchNormalization,
    Concatenate,
    Conv2D,
    ConvexSum,
    ReLU,
    SeparableConv2D,
)
from lemonade_tf.operators.base import Change, MeasureStatistics, Operator, in_order
from lemonade_tf.operators.kernels import compose, full_kernel, same_window, with_kernel


@dataclass(frozen=True)
class RemoveSite:
    """The convolution, or the end of the skip, `node`."""

    node: str


class Remove(Operator):
    """Remove a Conv-BatchNorm-ReLU block or a skip connection."""

    name = "remove"
    exact = False
    site = RemoveSite

    def _sites(self, graph: Graph) -> Iterator[RemoveSite]:
        for name in graph.order():
            layer = graph[name].layer
            if isinstance(layer, Conv2D | SeparableConv2D):
                if _removable_block(graph, name):
                    yield RemoveSite(name)
            elif isinstance(layer, ConvexSum | Concatenate) and _removable_skip(graph, name):
                yield RemoveSite(name)

    def _apply(self, graph: Graph, site: RemoveSite, rng: np.random.Generator) -> Change:
        if isinstance(graph[site.node].layer, ConvexSum | Concatenate):
            return _remove_skip(graph, site.node)
        return _remove_block(graph, block(graph, site.node))


def block(graph: Graph, convolution: str) -> tuple[str, ...] | None:
    """Return the names of a Conv-BatchNorm-ReLU block, or None if the convolution begins none."""
    names = [convolution]
    for kind in (BatchNormalization, ReLU):
        readers = graph.consumers(names[-1])
        if names[-1] == graph.output or len(readers) != 1:
            return None
        if not isinstance(graph[readers[0]].layer, kind):
            return None
        names.append(readers[0])
    return tuple(names)


# --- A block -------------------------------------------------------------------------------------


def _removable_block(graph: Graph, convolution: str) -> bool:
    names = block(graph, convolution)
    if names is None or not same_window(graph[convolution].layer) or names[-1] == graph.output:
        return False
    shapes = graph.shapes()
    before, after = shapes[graph[convolution].inputs[0]], shapes[convolution]
    readers = places(graph, names[-1])
    if readers is None:
        return before == after
    removed = sum(layer_parameters(graph[n].layer, *graph.input_shapes(n)) for n in names)
    for reader, offsets in readers.items():
        layer, (shape,) = graph[reader].layer, graph.input_shapes(reader)
        grown = (*shape[:-1], shape[-1] + len(offsets) * (before[-1] - after[-1]))
        removed += layer_parameters(layer, shape) - layer_parameters(layer, grown)
    return removed > 0


def _remove_block(graph: Graph, names: Sequence[str]) -> Change:
    convolution, normalization, relu = names
    before, shapes = graph[convolution].inputs[0], graph.shapes()
    readers = places(graph, relu) or {}
    width = shapes[relu][-1]
    removed = None
    if graph.weighted:
        scale = _scale(graph, normalization)
        removed = full_kernel(graph[convolution].layer, graph[convolution].weights) * scale
    for reader, offsets in readers.items():
        layer, weights = graph[reader].layer, graph[reader].weights
        if removed is not None:
            kernel = _read_through(full_kernel(layer, weights), offsets, width, removed)
            weights = with_kernel(layer, weights, kernel)
        graph.set_layer(reader, layer, weights)
    graph.redirect(relu, before)
    graph.remove_unused()
    affected = neighbours(graph, before, [before])
    _drop_idle_sums(graph)
    affected = in_order(graph, affected)
    return Change(graph, affected, statistics_of(graph, affected))


def _scale(graph: Graph, normalization: str) -> np.ndarray:
    """Return what a batch norm multiplies each channel by."""
    weights, epsilon = graph[normalization].weights, graph[normalization].layer.epsilon
    return weights.get("gamma", 1.0) / np.sqrt(weights["moving_variance"] + epsilon)


def _read_through(
    kernel: np.ndarray, offsets: Sequence[int], width: int, removed: np.ndarray
) -> np.ndarray:
    """Return a reader's kernel that reads, at each offset, the input of what was removed."""
    parts, at = [], 0
    for offset in offsets:
        parts.append(kernel[:, :, at:offset])
        at = offset + width
        parts.append(compose(removed, kernel[:, :, offset:at]))
    parts.append(kernel[:, :, at:])
    return np.concatenate(parts, axis=2)


def _drop_idle_sums(graph: Graph) -> None:
    """Remove convex sums of a tensor with itself, which are the identity."""
    for name in graph.order():
        node = graph[name]
        if isinstance(node.layer, ConvexSum) and node.inputs[0] == node.inputs[1]:
            graph.redirect(name, node.inputs[0])
    graph.remove_unused()


# --- A skip --------------------------------------------------------------------------------------


def _removable_skip(graph: Graph, merge: str) -> bool:
    node = graph[merge]
    if len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
        return False
    if isinstance(node.layer, Concatenate):
        return merge in absorbed(graph)
    return _costs_parameters(graph, node.inputs[1], merge)


def _costs_parameters(graph: Graph, name: str, reader: str) -> bool:
    """Return whether something with parameters goes when `reader` no longer reads `name`."""
    if graph.consumers(name) != (reader,) or name in graph.ancestors(graph[reader].inputs[0]):
        return False
    if layer_parameters(graph[name].layer, *graph.input_shapes(name)):
        return True
    return any(_costs_parameters(graph, source, name) for source in graph[name].inputs)


def _remove_skip(graph: Graph, merge: str) -> Change:
    main, skip = graph[merge].inputs
    sources = {}
    if isinstance(graph[merge].layer, Concatenate):
        shapes = graph.shapes()
        width, total = shapes[main][-1], shapes[main][-1] + shapes[skip][-1]
        # As when the skip was added: a convolution in its place begins a group of its own.
        graph.set_layer(merge, Conv2D(total, 1), inputs=[main])
        (group,) = channel_groups(graph).groups_of(merge)
        change = change_channels(graph, {group: np.arange(width)}, lambda _, shape: np.zeros(shape))
        sources = change.sources
    graph.redirect(merge, main)
    graph.remove_unused()
    affected = neighbours(graph, main, [main])
    return Change(graph, affected, statistics_of(graph, affected), sources)


# --- What distillation trains --------------------------------------------------------------------


def neighbours(graph: Graph, before: str, after: Iterable[str]) -> tuple[str, ...]:
    """Return the layers next to a place: the last ones with weights up to `before`, and the first
    ones behind each of `after`; a batch norm together with its convolution.
    """
    found: set[str] = set()
    pending = [before]
    while pending:
        name = pending.pop()
        if not _has_weights(graph, name) or isinstance(graph[name].layer, BatchNormalization):
            pending.extend(graph[name].inputs)
        if _has_weights(graph, name):
            found.add(name)
    pending = [reader for name in after for reader in graph.consumers(name)]
    while pending:
        name = pending.pop()
        if _has_weights(graph, name):
            found.update({name, *normalizations_of(graph, name)})
        else:
            pending.extend(graph.consumers(name))
    return in_order(graph, found)


def _has_weights(graph: Graph, name: str) -> bool:
    return bool(graph.weight_shapes(name)) and not isinstance(graph[name].layer, ConvexSum)


def normalizations_of(graph: Graph, name: str) -> tuple[str, ...]:
    """Return the batch norms that read a node."""
    readers = graph.consumers(name)
    return tuple(n for n in readers if isinstance(graph[n].layer, BatchNormalization))


def statistics_of(graph: Graph, affected: Sequence[str]) -> tuple[MeasureStatistics, ...]:
    """Return the repairs of the batch norms among the affected nodes."""
    return tuple(
        MeasureStatistics(n) for n in affected if isinstance(graph[n].layer, BatchNormalization)
    )
