"""Remove a layer or a skip: an approximate network morphism (section 3.2, item i).

A *layer* is a convolution with the batch norm and the ReLU (in imported networks: or another
activation) behind it. Its readers then read what it read. Where they can absorb that (convolutions
and dense layers, perhaps behind pooling, activations or concatenations), they start from the
composition of what was removed and what they did, as if the ReLU had not been there: with the
removed kernel K scaled by the batch norm, readers R start from R * K, cropped to the size of R.
Where a sum reads the layer, it is left out as if it had been the identity, which needs equal
numbers of channels.

A *skip* ends in a convex sum or a concatenation; its readers then read the main path alone, and
what only the skip used goes with it. Imported networks have residual sums: of the two inputs of an
Add, the one goes that has weights of its own, if the other has none.

Sites are listed only where parameters become fewer: the middle of a 64-8-64 bottleneck stays, and
so does a convex sum that has no 1x1 convolution, which costs no parameters at all.

Affected, and so distilled, are the immediate predecessor and successor layers (A.1), a batch norm
counting as part of its convolution. The successors want to be fitted: with training images at hand,
what they lost is made up for by least squares before any training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import (
    ABSORBERS,
    absorbing_consumers,
    can_append_channels,
    change_consumers,
)
from lemonade_tf.architecture.cost import layer_parameters
from lemonade_tf.architecture.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    ConvexSum,
    Layer,
    SeparableConv2D,
)
from lemonade_tf.operators.base import (
    Change,
    FitOutputs,
    MeasureStatistics,
    Operator,
    in_order,
    is_activation,
)
from lemonade_tf.operators.kernels import compose, full_kernel, same_window, with_kernel

_MERGES = (ConvexSum, Concatenate, Add)


@dataclass(frozen=True)
class RemoveSite:
    """The convolution, or the end of the skip or branch, `node`."""

    node: str


class Remove(Operator):
    """Remove a Conv-BatchNorm-ReLU block, a skip connection or a residual branch."""

    name = "remove"
    exact = False
    site = RemoveSite

    def _sites(self, graph: Graph) -> Iterator[RemoveSite]:
        for name in graph.topological_order():
            layer = graph[name].layer
            if isinstance(layer, Conv2D | SeparableConv2D):
                if _removable_block(graph, name):
                    yield RemoveSite(name)
            elif isinstance(layer, _MERGES) and _removable_skip(graph, name):
                yield RemoveSite(name)

    def _why_not(self, graph: Graph, site: RemoveSite) -> str:
        layer = graph[site.node].layer
        if isinstance(layer, Conv2D | SeparableConv2D):
            return _why_no_block(graph, site.node)
        if isinstance(layer, _MERGES):
            return (
                f"{site.node!r} ends no skip or branch that alone has weights and can be left out"
            )
        return (
            f"{site.node!r} is a {type(layer).__name__}; name a convolution that batch norm and an"
            " activation follow, or the sum or concatenation at the end of a skip or branch"
        )

    def _apply(self, graph: Graph, site: RemoveSite, rng: np.random.Generator) -> Change:
        if isinstance(graph[site.node].layer, _MERGES):
            return _remove_skip(graph, site.node)
        return _remove_block(graph, block(graph, site.node))


def block(graph: Graph, convolution: str) -> tuple[str, ...] | None:
    """Return the names of a Conv-BatchNorm-ReLU block, or None if the convolution begins none."""
    names = [convolution]
    for follows in (_is_normalization, is_activation):
        readers = graph.consumers(names[-1])
        if names[-1] == graph.output or len(readers) != 1:
            return None
        if not follows(graph[readers[0]].layer):
            return None
        names.append(readers[0])
    return tuple(names)


def _is_normalization(layer: Layer) -> bool:
    return isinstance(layer, BatchNormalization)


# --- A block -------------------------------------------------------------------------------------


def _removable_block(graph: Graph, convolution: str) -> bool:
    names = block(graph, convolution)
    if names is None or not same_window(graph[convolution].layer) or names[-1] == graph.output:
        return False
    shapes = graph.shapes()
    before, after = shapes[graph[convolution].inputs[0]], shapes[convolution]
    readers = absorbing_consumers(graph, names[-1])
    if readers is None:
        return before == after
    removed = sum(layer_parameters(graph[n].layer, *graph.input_shapes(n)) for n in names)
    for reader, offsets in readers.items():
        layer, (shape,) = graph[reader].layer, graph.input_shapes(reader)
        grown = (*shape[:-1], shape[-1] + len(offsets) * (before[-1] - after[-1]))
        removed += layer_parameters(layer, shape) - layer_parameters(layer, grown)
    return removed > 0


def _why_no_block(graph: Graph, convolution: str) -> str:
    """Return why a block is not removable."""
    names = block(graph, convolution)
    if names is None:
        return f"{convolution!r} is not followed by batch norm and an activation alone"
    if names[-1] == graph.output:
        return f"{names[-1]!r}, behind {convolution!r}, is the output"
    shapes = graph.shapes()
    before, after = shapes[graph[convolution].inputs[0]], shapes[convolution]
    if not same_window(graph[convolution].layer):
        return f"{convolution!r} makes {after} of {before}, or pads unevenly"
    if absorbing_consumers(graph, names[-1]) is None:
        return (
            f"{convolution!r} makes {after[-1]} channels of {before[-1]}, and not only convolutions"
            " and dense layers read them, which could be given others"
        )
    return f"without {convolution!r} the network would not have fewer parameters"


def _remove_block(graph: Graph, names: Sequence[str]) -> Change:
    convolution, normalization, relu = names
    before = graph[convolution].inputs[0]
    if graph.has_weights:
        node, width = graph[convolution], graph.shapes()[relu][-1]
        removed = full_kernel(node.layer, node.weights) * _scale(graph, normalization)
        for reader, offsets in (absorbing_consumers(graph, relu) or {}).items():
            layer, weights = graph[reader].layer, graph[reader].weights
            kernel = _read_through(full_kernel(layer, weights), offsets, width, removed)
            graph.set_layer(reader, layer, with_kernel(layer, weights, kernel))
    graph.redirect(relu, before)
    graph.remove_unused()
    return _change(graph, before)


def _scale(graph: Graph, normalization: str) -> np.ndarray:
    """Return what a batch norm multiplies each channel by."""
    weights, epsilon = graph[normalization].weights, graph[normalization].layer.epsilon
    return weights.get("gamma", 1.0) / np.sqrt(weights["moving_variance"] + epsilon)


def _read_through(
    kernel: np.ndarray, offsets: Sequence[int], width: int, removed: np.ndarray
) -> np.ndarray:
    """Return a reader's kernel that reads, at each offset, the input of what was removed.

    A reader of single pixels (a dense layer, behind pooling; a 1x1 convolution) reads the mean of
    a neighbourhood no better than its centre, so all of the removed kernel counts there.
    """
    if kernel.shape[:2] == (1, 1):
        removed = removed.sum(axis=(0, 1), keepdims=True)
    parts, at = [], 0
    for offset in offsets:
        parts.append(kernel[:, :, at:offset])
        at = offset + width
        parts.append(compose(removed, kernel[:, :, offset:at]))
    parts.append(kernel[:, :, at:])
    return np.concatenate(parts, axis=2)


def _drop_idle_sums(graph: Graph) -> None:
    """Remove convex sums of a tensor with itself, which are the identity."""
    for name in graph.topological_order():
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
        return can_append_channels(graph, merge)
    if isinstance(node.layer, Add):
        return _main_path(graph, merge) is not None
    return _costs_parameters(graph, node.inputs[1], merge)


def _main_path(graph: Graph, merge: str) -> str | None:
    """Return what is left of a skip that is removed, None where that is not clear."""
    first, second = graph[merge].inputs
    if not isinstance(graph[merge].layer, Add):
        return first
    has_weights = [_costs_parameters(graph, name, merge) for name in (first, second)]
    return {(True, False): second, (False, True): first}.get(tuple(has_weights))


def _costs_parameters(graph: Graph, name: str, reader: str) -> bool:
    """Return whether something with parameters goes when `reader` no longer reads `name`."""
    if graph.consumers(name) != (reader,):
        return False
    if layer_parameters(graph[name].layer, *graph.input_shapes(name)):
        return True
    return any(_costs_parameters(graph, source, name) for source in graph[name].inputs)


def _remove_skip(graph: Graph, merge: str) -> Change:
    main = _main_path(graph, merge)
    sources = {}
    if isinstance(graph[merge].layer, Concatenate):
        width = np.arange(graph.shapes()[main][-1])
        change = change_consumers(graph, merge, width, lambda _, shape: np.zeros(shape))
        sources = change.sources
    graph.redirect(merge, main)
    graph.remove_unused()
    return _change(graph, main, sources)


# --- What distillation trains --------------------------------------------------------------------


def _change(graph: Graph, place: str, sources: Mapping[str, np.ndarray] | None = None) -> Change:
    """Return the change of a graph from which something behind `place` was removed."""
    after = _first_behind(graph, place)
    affected = in_order(graph, {*_last_up_to(graph, place), *after})
    _drop_idle_sums(graph)
    kept = in_order(graph, affected)
    after = in_order(graph, after)
    repairs = (*fits_of(graph, after), *statistics_of(graph, after))
    return Change(graph, kept, repairs, sources or {})


def _last_up_to(graph: Graph, place: str) -> set[str]:
    """Return the last layers with weights up to a place, a batch norm with its convolution."""
    found: set[str] = set()
    pending = [place]
    while pending:
        name = pending.pop()
        if _has_weights(graph, name):
            found.add(name)
        if name not in found or isinstance(graph[name].layer, BatchNormalization):
            pending.extend(graph[name].inputs)
    return found


def _first_behind(graph: Graph, place: str) -> set[str]:
    """Return the first layers with weights behind a place, convolutions with their batch norms.

    A batch norm that comes first (imported networks that activate before they convolve) is part
    of the convolution behind it.
    """
    found: set[str] = set()
    pending = list(graph.consumers(place))
    while pending:
        name = pending.pop()
        if _has_weights(graph, name):
            found.update({name, *normalizations_of(graph, name)})
        if name not in found or _is_normalization(graph[name].layer):
            pending.extend(n for n in graph.consumers(name) if n not in found)
    return found


def _has_weights(graph: Graph, name: str) -> bool:
    return bool(graph.weight_shapes(name)) and not isinstance(graph[name].layer, ConvexSum)


def normalizations_of(graph: Graph, name: str) -> tuple[str, ...]:
    """Return the batch norms that read a node."""
    readers = graph.consumers(name)
    return tuple(n for n in readers if isinstance(graph[n].layer, BatchNormalization))


def fits_of(graph: Graph, affected: Sequence[str]) -> tuple[FitOutputs, ...]:
    """Return the repairs of the convolutions and dense layers among the affected nodes."""
    return tuple(FitOutputs(n) for n in affected if isinstance(graph[n].layer, ABSORBERS))


def statistics_of(graph: Graph, affected: Sequence[str]) -> tuple[MeasureStatistics, ...]:
    """Return the repairs of the batch norms among the affected nodes."""
    return tuple(
        MeasureStatistics(n) for n in affected if isinstance(graph[n].layer, BatchNormalization)
    )
