"""A Keras model as a graph.

The table names, for each class of Keras layers, the kind of layer that it becomes and what its
other settings must be: a setting that the kind does not have must be the one that means nothing.
Initializers, regularizers and constraints, which do not change what is computed, are left behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph, GraphError, check
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.keras_bridge.convex_sum import ConvexSum
from lemonade_tf.keras_bridge.weights import layer_weights

_CHANNELS_LAST = {"data_format": "channels_last"}
_CONVOLUTION = {**_CHANNELS_LAST, "dilation_rate": (1, 1)}

# class of Keras layer -> (kind, settings that the kind does not have and what they must be)
_KINDS: dict[type, tuple[type[kinds.Layer], Mapping[str, Any]]] = {
    keras.layers.Rescaling: (kinds.Rescaling, {}),
    keras.layers.Conv2D: (kinds.Conv2D, {**_CONVOLUTION, "groups": 1}),
    keras.layers.DepthwiseConv2D: (kinds.DepthwiseConv2D, _CONVOLUTION),
    keras.layers.SeparableConv2D: (kinds.SeparableConv2D, _CONVOLUTION),
    keras.layers.BatchNormalization: (kinds.BatchNormalization, {"axis": -1, "renorm": False}),
    keras.layers.ReLU: (kinds.ReLU, {"negative_slope": 0, "threshold": 0}),
    keras.layers.Activation: (kinds.Activation, {}),
    keras.layers.MaxPooling2D: (kinds.MaxPooling2D, _CHANNELS_LAST),
    keras.layers.AveragePooling2D: (kinds.AveragePooling2D, _CHANNELS_LAST),
    keras.layers.GlobalAveragePooling2D: (
        kinds.GlobalAveragePooling2D,
        {**_CHANNELS_LAST, "keepdims": False},
    ),
    keras.layers.Flatten: (kinds.Flatten, _CHANNELS_LAST),
    keras.layers.Dropout: (kinds.Dropout, {"noise_shape": None}),
    keras.layers.Dense: (kinds.Dense, {}),
    keras.layers.Add: (kinds.Add, {}),
    keras.layers.Concatenate: (kinds.Concatenate, {"axis": -1}),
    ConvexSum: (kinds.ConvexSum, {}),
}


def from_keras(model: keras.Model) -> Graph:
    """Return the graph of a functional or Sequential Keras model, with its weights.

    A layer with an activation of its own becomes two nodes, NAME and NAME_activation.
    `from_keras(to_keras(graph, learnable=True))` is the graph again.

    Args:
        model: Made of the layers in the table above, each used once.

    Raises:
        GraphError: The model has another layer, setting or form; the message names it.
    """
    functional = _functional(model)
    layers = {layer.name: layer for layer in functional.layers}
    graph = Graph()
    ends: dict[str, str] = {}  # layer -> the node that puts out what the layer does
    config = functional.get_config()
    for entry in config["layers"]:
        name = entry["name"]
        if name not in layers:
            raise GraphError(
                f"{name!r} is the operation {entry['class_name']} and not a layer; use a layer"
                " in its place."
            )
        inputs = [ends[source] for source in _sources(entry)]
        ends[name] = _add(graph, layers[name], inputs)
    (output,) = np.ravel(config["output_layers"])[:1]  # name, call, which of its tensors
    graph.output = ends[str(output)]
    check(graph)
    return graph


def _functional(model: keras.Model) -> keras.Model:
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise GraphError(
            f"{model!r} is not a functional or a built Sequential Keras model, whose layers could"
            " be followed from input to output."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise GraphError(
            f"the model has {len(model.inputs)} inputs and {len(model.outputs)} outputs; a graph"
            " has one of each."
        )
    return model


# --- How layers are connected --------------------------------------------------------------------


def _sources(entry: Mapping[str, Any]) -> list[str]:
    """Return the names of the layers that a layer of a model's configuration reads."""
    calls = entry["inbound_nodes"]
    if len(calls) > 1:
        raise GraphError(
            f"layer {entry['name']!r} is used {len(calls)} times; a graph has no shared layers."
        )
    if not calls:
        return []
    if calls[0]["kwargs"].get("training"):
        raise GraphError(
            f"layer {entry['name']!r} was called with training=True, which a graph cannot express."
        )
    return list(_tensors(calls[0]))


def _tensors(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield value["config"]["keras_history"][0]
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


# --- Layers ------------------------------------------------------------------------------------


def _add(graph: Graph, layer: keras.layers.Layer, inputs: list[str]) -> str:
    """Add a layer to the graph, and return the node that puts out what it does."""
    if isinstance(layer, keras.layers.InputLayer):
        return graph.add(layer.name, _input(layer))
    name = graph.add(layer.name, _kind_of(layer), inputs, layer_weights(layer))
    if isinstance(layer, keras.layers.Activation):
        return name
    activation = _activation_name(layer)
    if activation == "linear":
        return name
    known = {"relu": kinds.ReLU(), "relu6": kinds.ReLU(6.0)}  # the kind that operators look for
    node = f"{name}_activation"
    return graph.add(node, known.get(activation) or kinds.Activation(activation), [name])


def _input(layer: keras.layers.InputLayer) -> kinds.Input:
    shape = layer.batch_shape[1:]
    if None in shape:
        raise GraphError(
            f"input {layer.name!r} has the shape {shape}; a graph needs a size in place of None."
        )
    return kinds.Input(shape)


def _kind_of(layer: keras.layers.Layer) -> kinds.Layer:
    kind, required = _table_entry(layer)
    for setting, value in required.items():
        found = _setting(layer, setting)
        if found != value:
            raise GraphError(
                f"layer {layer.name!r} ({type(layer).__name__}) has {setting}={found!r}; a graph"
                f" has such layers with {setting}={value!r} only."
            )
    if layer.compute_dtype != "float32":
        raise GraphError(f"layer {layer.name!r} computes in {layer.compute_dtype}, not float32.")
    given = {field.name: _plain(getattr(layer, field.name)) for field in fields(kind)}
    if kind is kinds.Activation:
        given = {"activation": _activation_name(layer)}
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise GraphError(f"layer {layer.name!r}: {error}") from None


def _table_entry(layer: keras.layers.Layer) -> tuple[type[kinds.Layer], Mapping[str, Any]]:
    for kind, entry in _KINDS.items():
        # Other subclasses may compute something else; those of this package do not.
        if type(layer) is kind or (
            isinstance(layer, kind) and type(layer).__module__.startswith("lemonade_tf.")
        ):
            return entry
    raise GraphError(
        f"layer {layer.name!r} is of the kind {type(layer).__name__}; a graph can have"
        f" {', '.join(kind.__name__ for kind in _KINDS)}."
    )


def _setting(layer: keras.layers.Layer, name: str) -> Any:
    value = getattr(layer, name)
    if name == "axis" and value == len(layer.output.shape) - 1:
        return -1
    return _plain(value)


def _activation_name(layer: keras.layers.Layer) -> str:
    """Return the name of the activation in a layer, "linear" where it has none."""
    function = getattr(layer, "activation", None)
    name = "linear" if function is None else keras.activations.serialize(function)
    if name not in kinds.ACTIVATIONS:
        raise GraphError(
            f"layer {layer.name!r} has the activation {name!r}; a graph can have"
            f" {', '.join(kinds.ACTIVATIONS)}."
        )
    return name


def _plain(value: Any) -> Any:
    """Return a setting as Python values, lists as tuples."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value
