"""Correct the biases of a network for what rounding its weights to 8 bits adds on average.

A weight that is rounded by e adds e x to the output of its layer. After a ReLU the inputs x have a
mean that is not 0, so the errors of many small weights add up to a shift of the output. The bias of
each layer takes its mean back, layer by layer from the input on, so that each sees what those
before it have left (Nagel et al.: Data-free quantization through weight equalization and bias
correction, ICCV 2019; here the mean is measured on images).
"""

from __future__ import annotations

from collections.abc import Collection

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge.graph_to_model import to_keras

_NUM_IMAGES = 512


def with_corrected_biases(graph: Graph, rounded: Collection[str], images: np.ndarray) -> Graph:
    """Return a network whose layers have the same mean outputs when rounded as in floats.

    Args:
        graph: A network with weights; it is not changed.
        rounded: The names of the layers whose outputs are rounded.
        images: Training images, (n, height, width, channels); some hundred are used.
    """
    backend, images = current_backend(), images[:: max(1, len(images) // _NUM_IMAGES)]
    model = to_keras(graph, logits=True, layer_per_node=True)
    names = [name for name in graph.topological_order() if "bias" in graph[name].weights]
    layers = [model.get_layer(name) for name in names]
    if not layers:
        return graph
    exact = keras.Model(model.inputs, [layer.output for layer in layers])
    wanted = [_means(output) for output in backend.forward(exact).outputs(images)]
    forward = backend.forward(backend.fake_quantized(exact, rounded))
    corrected = graph.copy()
    for number, (name, layer) in enumerate(zip(names, layers, strict=True)):
        if not layer.trainable:
            continue
        found = _means(forward.outputs(images)[number])
        bias = np.asarray(layer.bias.value) + wanted[number] - found
        layer.bias.assign(bias)
        corrected.set_weights(name, {**graph[name].weights, "bias": bias.astype(np.float32)})
    return corrected


def _means(output: np.ndarray) -> np.ndarray:
    """Return the mean of each channel."""
    return output.reshape(-1, output.shape[-1]).mean(axis=0)
