"""Carrying out the repairs that operators ask for: statistics of new batch normalizations.

In training, batch normalization uses the batch's statistics; an inserted block is the identity
only if its moving statistics are those. So they are measured, on training images that go through
the network as in training: every batch normalization normalises by the batch. The function at
inference stays what it was: a fresh channel is read with weight zero, and an inserted block's
scale and offset follow its statistics.

The network is walked once, layer by layer without compiling, up to the last repair.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import BatchNormalization
from lemonade_tf.operators import MeasureStatistics
from lemonade_tf.operators.morphisms import identity_normalization

_MOST_VALUES = 2**26  # of one layer's output at a time: 256 MB in float32


def num_images_to_measure(graph: Graph, most: int) -> int:
    """Return on how many images to measure: as many as given, fewer where they are too large."""
    largest = max(prod(shape) for shape in graph.shapes().values())
    return max(1, min(most, _MOST_VALUES // largest))


def measure_statistics(
    repairs: Sequence[MeasureStatistics], graph: Graph, model: keras.Model, images: np.ndarray
) -> None:
    """Set the statistics of batch normalizations in a model to those of images.

    Args:
        repairs: Which; and whether scale and offset follow.
        graph: The graph of the model.
        model: What `to_keras(graph, learnable=True)` returned.
        images: (n, height, width, channels), raw pixels.
    """
    by_node = {repair.node: repair for repair in repairs}
    needed = frozenset(by_node).union(*(graph.ancestors(name) for name in by_node))
    layers = {layer.name: layer for layer in model.layers}
    readers = {n: sum(reader in needed for reader in graph.consumers(n)) for n in needed}
    values: dict[str, Any] = {}
    for name in (n for n in graph.order() if n in needed):
        node = graph[name]
        inputs = [values[source] for source in node.inputs]
        if not inputs:
            values[name] = keras.ops.cast(images, "float32")
        elif isinstance(node.layer, BatchNormalization):
            values[name] = _normalise(layers[name], inputs[0], by_node.get(name))
        else:
            values[name] = layers[name](inputs[0] if len(inputs) == 1 else inputs, training=False)
        for source in dict.fromkeys(node.inputs):
            readers[source] -= 1
            if not readers[source]:
                del values[source]  # no longer needed, and large


def _normalise(layer: Any, inputs: Any, repair: MeasureStatistics | None) -> Any:
    """Return the images normalised by their own statistics, after the layer's repair."""
    mean, variance = keras.ops.moments(inputs, axes=list(range(len(inputs.shape) - 1)))
    if repair is not None:
        _repair(layer, np.asarray(mean), np.asarray(variance), repair)
    return keras.ops.batch_normalization(
        inputs,
        mean,
        variance,
        axis=-1,
        offset=layer.beta.value if layer.center else None,
        scale=layer.gamma.value if layer.scale else None,
        epsilon=layer.epsilon,
    )


def _repair(layer: Any, mean: np.ndarray, variance: np.ndarray, repair: MeasureStatistics) -> None:
    new = {"moving_mean": mean, "moving_variance": variance}
    if repair.identity:
        new = identity_normalization(mean, variance, layer.epsilon)
    channels = slice(None) if repair.channels is None else list(repair.channels)
    for name, measured in new.items():
        variable = getattr(layer, name)
        values = np.array(np.asarray(variable.value))
        values[channels] = measured[channels]
        variable.assign(values)
