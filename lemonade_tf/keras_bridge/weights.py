"""Copying weights from a graph into Keras layers, and back.

A graph names weights as Keras does. They become the initial values of variables, because a random
initialization would take longer than the rest of building a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph, GraphError


class _FromArray(keras.initializers.Initializer):
    """Initializes a variable with an array."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        # A copy, because the backend may keep using the memory of the array.
        return np.array(self.value, dtype=dtype or "float32")


@contextmanager
def initial_values(layer: keras.layers.Layer, weights: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Initialize a layer that is built in this context with the given weights.

    Afterwards the layer has its own initializers again, which are part of its configuration: a
    saved model that is cloned in order to train it from scratch gets random weights.
    """
    names = {name: _initializer_name(layer, name) for name in weights}
    own = {attribute: getattr(layer, attribute) for attribute in names.values()}
    for name, attribute in names.items():
        setattr(layer, attribute, _FromArray(weights[name]))
    try:
        yield
    finally:
        for attribute, initializer in own.items():
            setattr(layer, attribute, initializer)


def _initializer_name(layer: keras.layers.Layer, weight: str) -> str:
    if isinstance(layer, keras.layers.DepthwiseConv2D) and weight == "kernel":
        return "depthwise_initializer"
    if weight.endswith("wise_kernel"):
        weight = weight.removesuffix("_kernel")
    return f"{weight}_initializer"


def layer_weights(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """Return the current weights of a layer by name, as read-only float32 copies."""
    weights = {}
    for variable in layer.weights:
        array = np.asarray(variable.value).astype(np.float32)  # a copy
        array.flags.writeable = False
        weights[variable.name] = array
    if type(layer).__name__ == "LayerScale":  # Keras gives its only weight a name by number
        weights["gamma"] = weights.pop(layer.weights[0].name)
    return weights


def read_weights(model: keras.Model, graph: Graph) -> Graph:
    """Return a copy of a graph with the current weights of a model.

    Args:
        model: What `to_keras(graph, learnable=True)` returned, trained or not.
        graph: The graph from which it was made; remains unchanged.

    Raises:
        GraphError: If the model lacks a layer of the graph that has weights.
    """
    layers = {layer.name: layer for layer in model.layers}
    updated = graph.copy()
    for name in graph:
        if not graph.weight_shapes(name):
            continue
        if name not in layers:
            raise GraphError(
                f"the model has no layer {name!r}; read_weights expects a model that"
                " to_keras(graph, learnable=True) made from this graph."
            )
        updated.set_weights(name, layer_weights(layers[name]))
    return updated
