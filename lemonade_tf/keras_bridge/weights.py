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

from lemonade_tf.architecture import Graph, GraphError, Node
from lemonade_tf.architecture.opaque import Opaque


class _FromArray(keras.initializers.Initializer):
    """Initializes a variable with an array."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
        # A copy, because the backend may keep using the memory of the array. The kernel of a
        # convolution with a group per channel has the values of a depthwise one in the same order.
        return np.array(self.value, dtype=dtype or "float32").reshape(shape)


@contextmanager
def initial_values(layer: keras.layers.Layer, weights: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Initialize a layer that is built in this context with the given weights.

    Layers without initializers have to be assigned their weights once they are built.

    Afterwards the layer has its own initializers again, which are part of its configuration: a
    saved model that is cloned in order to train it from scratch gets random weights.
    """
    names = {name: _initializer_name(layer, name) for name in weights}
    names = {name: attribute for name, attribute in names.items() if hasattr(layer, attribute)}
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
    """Return the current weights of a layer by name, as read-only copies.

    They are float32, in which edits compute, or float64 if the layer has it.
    """
    weights = {}
    for name, variable in _named_weights(layer):
        value = np.asarray(variable.value)
        array = value.astype(np.float64 if value.dtype == np.float64 else np.float32)  # a copy
        array.flags.writeable = False
        weights[name] = array
    return weights


def _named_weights(layer: keras.layers.Layer) -> Iterator[tuple[str, Any]]:
    """Yield the weights of a layer by the names that they have in a graph."""
    if type(layer).__name__ == "LayerScale":  # Keras gives its only weight a name by number
        yield "gamma", layer.weights[0]
        return
    for variable in layer.weights:
        yield variable.name, variable


def opaque_weights(operation: Any) -> dict[str, np.ndarray]:
    """Return the weights of a layer of unknown kind in their order, by names that are unique."""
    weights = {}
    for index, variable in enumerate(getattr(operation, "weights", ())):
        array = np.array(np.asarray(variable.value))
        array.flags.writeable = False
        weights[f"{index}_{variable.name}"] = array
    return weights


def assign_weights(layer: keras.layers.Layer, node: Node) -> None:
    """Give a built layer the weights of its node; none if the graph has none."""
    if not node.weights:
        return
    if isinstance(node.layer, Opaque):
        pairs = list(zip(node.weights.values(), layer.weights, strict=True))
    else:
        pairs = [(node.weights[name], variable) for name, variable in _named_weights(layer)]
    for value, variable in pairs:
        variable.assign(value.astype(variable.dtype).reshape(variable.shape))
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()


def read_weights(model: keras.Model, graph: Graph) -> Graph:
    """Return a copy of a graph with the current weights of a model.

    Args:
        model: What `to_keras(graph, learnable=True)` returned, trained or not; for the graph of an
            imported model, with `layer_per_node=True`.
        graph: The graph from which it was made; remains unchanged.

    Raises:
        GraphError: If the model lacks a layer of the graph that has weights.
    """
    layers = {layer.name: layer for layer in model.layers}
    updated = graph.copy()
    for name, node in graph.items():
        if not graph.weight_shapes(name):
            continue
        if name not in layers:
            raise GraphError(
                f"the model has no layer {name!r}; read_weights expects a model that"
                " to_keras(graph, learnable=True) made from this graph."
            )
        read = opaque_weights if isinstance(node.layer, Opaque) else layer_weights
        updated.set_weights(name, read(layers[name]))
    return updated
