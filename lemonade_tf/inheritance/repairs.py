"""Carrying out a repair that operators ask for: statistics of new batch normalizations.

In training, batch normalization uses the batch's statistics; an inserted block is the identity
only if its moving statistics are those. So they are measured, on training images that go through
the network as in training: every batch normalization normalises by the batch. The function at
inference stays what it was: a fresh channel is read with weight zero, and an inserted block's
scale and offset follow its statistics.

The network is walked once, layer by layer without compiling, up to the last repair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import BatchNormalization
from lemonade_tf.inheritance.activations import walk
from lemonade_tf.operators import MeasureStatistics
from lemonade_tf.operators.morphisms import identity_normalization


def measure_statistics(
    repairs: Sequence[MeasureStatistics],
    graph: Graph,
    model: keras.Model,
    images: np.ndarray,
    *,
    training: bool = True,
) -> None:
    """Set the statistics of batch normalizations in a model to those of images.

    Args:
        repairs: Which; and whether scale and offset follow.
        graph: The graph of the model.
        model: What `to_keras(graph, learnable=True)` returned.
        images: (n, height, width, channels), raw pixels.
        training: Whether the images go through the network as in training; else, as in inference,
            the other batch normalizations use the statistics that they have.
    """
    by_node = {repair.node: repair for repair in repairs}
    layers = {layer.name: layer for layer in model.layers}

    def compute(name: str, inputs: list[Any]) -> Any:
        is_normalization = isinstance(graph[name].layer, BatchNormalization)
        if name in by_node or (training and is_normalization):
            return _normalise(layers[name], inputs[0], by_node.get(name))
        return layers[name](inputs[0] if len(inputs) == 1 else inputs, training=False)

    known = {graph.input: keras.ops.cast(images, "float32")}
    walk(graph, known, until=by_node, compute=compute)


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
