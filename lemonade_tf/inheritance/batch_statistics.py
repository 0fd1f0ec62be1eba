"""Measure the statistics of new batch normalizations on training images.

In training, batch normalization uses the statistics of the batch, so an inserted block is the
identity only if its moving statistics are the right ones. They are measured in training mode: every
batch normalization along the way uses the statistics of the batch. The function at inference stays
the same: a new channel is multiplied by zero weights, and an inserted block sets its scale and
offset to the measured deviation and mean.

A single walk up to the last repair, layer by layer and without compiling, serves all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import BatchNormalization
from lemonade_tf.inheritance.activations import Images, call_layer, input_values, walk
from lemonade_tf.operators.change import MeasureStatistics
from lemonade_tf.operators.morphisms import identity_normalization


def measure_statistics(
    repairs: Sequence[MeasureStatistics],
    graph: Graph,
    model: keras.Model,
    images: Images,
    *,
    training: bool = True,
) -> None:
    """Set the statistics of batch normalizations in a model to those of images.

    Args:
        repairs: The batch normalizations, and whether their scale and offset follow.
        graph: The graph of the model.
        model: The result of `to_keras(graph, learnable=True, layer_per_node=True)`. Its layers that
            are called more than once keep their statistics.
        images: Raw pixels, (n, height, width, channels).
        training: Whether the other batch normalizations use the statistics of the batch, as in
            training, or their moving statistics, as in inference.
    """
    several_calls = {name for names in graph.calls().values() for name in names}
    by_node = {repair.node: repair for repair in repairs if repair.node not in several_calls}
    layers = {layer.name: layer for layer in model.layers}

    def compute(name: str, inputs: list[Any]) -> Any:
        is_normalization = isinstance(graph[name].layer, BatchNormalization)
        if name in by_node or (training and is_normalization):
            return _normalize(layers[name], inputs[0], by_node.get(name))
        return call_layer(layers[name], inputs)

    walk(graph, input_values(graph, model, images), until=by_node, compute=compute)


def _normalize(layer: Any, inputs: Any, repair: MeasureStatistics | None) -> Any:
    """Repair a layer if requested, and normalize its input by the statistics of the batch."""
    axes = list(range(len(inputs.shape) - 1))
    mean, variance = keras.ops.moments(inputs, axes)  # pyright: ignore[reportGeneralTypeIssues]
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
    """Assign measured statistics to the channels of a repair."""
    new = {"moving_mean": mean, "moving_variance": variance}
    if repair.identity:
        new = identity_normalization(mean, variance, layer.epsilon)
    channels = slice(None) if repair.channels is None else list(repair.channels)
    for name, measured in new.items():
        variable = getattr(layer, name)
        values = np.array(np.asarray(variable.value))
        values[channels] = measured[channels]
        variable.assign(values)
