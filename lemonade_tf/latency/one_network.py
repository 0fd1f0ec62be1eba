"""The inference time of one network as a function of its widths, measured on this machine.

A search measures a table of networks from its search space (`measuring.measure_table`). Here the
sample consists of a given network, uniformly pruned versions of it, and its single layers at their
present and at half their width, each with the weights that it has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import numpy as np

from lemonade_tf.architecture.channel_costs import ChannelCosts
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import Input, Layer, Shape
from lemonade_tf.architecture.opaque import Opaque, Outputs, Part
from lemonade_tf.latency.features import FEATURES, is_folded, layer_features
from lemonade_tf.latency.measuring import measure_passes, per_image
from lemonade_tf.latency.model import LatencyModel, fit
from lemonade_tf.latency.protocol import TABLE, Measurement, Protocol
from lemonade_tf.latency.runtime import KERAS, Pass
from lemonade_tf.latency.table import LatencyTable, TableError, row_of
from lemonade_tf.operators.prune import keep_channels

_SHARES = (1.0, 0.75, 0.5, 0.25)  # of the channels, in whole networks
_LAYERS_PER_KIND = 6  # at each width
_ROUNDS = 2
_MAX_BATCH = 100
_MULTIPLY_ADDS = 2e9  # in a pass, at most, unless a single image has more


def measure_versions(graph: Graph, protocol: Protocol) -> LatencyTable:
    """Measure a network, pruned versions and single layers of it, in Keras.

    Args:
        graph: The network, with weights.
        protocol: How to measure a time; the batch size is chosen for the network.

    Raises:
        TableError: If every measurement failed.
    """
    batch = _batch_size(graph)
    versions = [_pruned(graph, share) for share in _SHARES]
    layers = [layer for version in (versions[0], versions[2]) for layer in _layers(version)]
    graphs = [*versions, *layers]
    builders = [partial(_build, each, batch) for each in graphs]
    results = measure_passes(builders, protocol, rounds=_ROUNDS)
    measured = zip(graphs, (per_image(result, batch) for result in results), strict=True)
    rows = [row_of(g, m.seconds, KERAS) for g, m in measured if isinstance(m, Measurement)]
    if not rows:
        raise TableError(f"the network could not be measured: {results[0]}")
    shape = graph.shapes()[graph.inputs[0]]
    return LatencyTable(KERAS, shape, protocol, len(os.sched_getaffinity(0)), rows)


def channel_costs(model: LatencyModel, graph: Graph) -> ChannelCosts:
    """Return the predicted seconds per image as a function of the sizes of channel groups."""
    weights = np.array(model.weights)

    def seconds(layer: Layer, output: Shape, *inputs: Shape) -> float:
        return float(layer_features(layer, output, *inputs) @ weights)

    folds = model.runtime.folds_layers
    free = {name for name in graph if is_folded(graph, name)} if folds else set()
    return ChannelCosts(graph, seconds, free=free, constant=weights[FEATURES.index("passes")])


def model_of_versions(graph: Graph) -> LatencyModel:
    """Return a latency model for pruned versions of a network, which are measured."""
    return fit(measure_versions(graph, TABLE))


def measured_share(before: Graph, after: Graph) -> float | None:
    """Return the inference time of a network as a share of that of another one, in Keras.

    Returns:
        The share; None if a measurement failed.
    """
    batch = _batch_size(before)
    builders = [partial(_build, graph, batch) for graph in (before, after)]
    results = measure_passes(builders, TABLE, rounds=_ROUNDS)
    seconds = [result.seconds for result in results if isinstance(result, Measurement)]
    return seconds[1] / seconds[0] if len(seconds) == 2 else None


def _batch_size(graph: Graph) -> int:
    return max(1, min(_MAX_BATCH, int(_MULTIPLY_ADDS / max(count_multiply_adds(graph), 1))))


def _build(graph: Graph, batch: int) -> Pass:
    from lemonade_tf.backends.current import current_backend

    rng, shapes = np.random.default_rng(0), graph.shapes()
    # Zeros and ones are images, and valid categories of an embedding, too.
    images = [rng.integers(0, 2, (batch, *shapes[n]), dtype=np.uint8) for n in graph.inputs]
    return current_backend().inference_pass(graph, images[0] if len(images) == 1 else images)


def _pruned(graph: Graph, share: float) -> Graph:
    """Return a network with a share of the channels of each group."""
    groups = channel_groups(graph)
    sources = {
        group: np.arange(kept)
        for group, size in groups.sizes.items()
        if group not in groups.fixed and (kept := max(1, round(share * size))) < size
    }
    return keep_channels(graph.copy(), sources).graph if sources else graph


def _layers(graph: Graph) -> Iterator[Graph]:
    """Yield networks of a single layer: of each kind some, from small to large ones."""
    shapes = graph.shapes()
    by_kind: dict[type, dict[object, tuple[float, str]]] = {}
    for name, node in graph.items():
        if isinstance(node.layer, Input | Opaque | Outputs | Part):
            continue
        sizes = (shapes[name], *[shapes[i] for i in node.inputs])
        work = float(layer_features(node.layer, *sizes).sum())
        if work:
            by_kind.setdefault(type(node.layer), {})[node.layer, sizes] = (work, name)
    for found in by_kind.values():
        ranked = sorted(found.values())
        number = min(len(ranked), _LAYERS_PER_KIND)
        for at in np.linspace(0, len(ranked) - 1, number).round().astype(int):
            yield _single(graph, ranked[at][1])


def _single(graph: Graph, name: str) -> Graph:
    node, single = graph[name], Graph()
    inputs = [
        single.add(f"input_{number}", Input(shape))
        for number, shape in enumerate(graph.input_shapes(name))
    ]
    single.output = single.add("layer", node.layer, inputs, node.weights)
    return single
