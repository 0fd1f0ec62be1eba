"""A Keras model as a graph.

A model is read from its configuration, layer by layer; a model inside it, used as a layer, is read
in its place. The table names, for each class of Keras layers, the kind of layer that it becomes and
what its other settings must be: a setting that the kind does not have must be the one that means
nothing. Initializers, regularizers and constraints, which do not change what is computed, are left
behind, and so is which layers are frozen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
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
    keras.layers.Normalization: (kinds.Normalization, {"axis": -1, "invert": False}),
    keras.layers.Conv2D: (kinds.Conv2D, _CONVOLUTION),
    keras.layers.DepthwiseConv2D: (kinds.DepthwiseConv2D, _CONVOLUTION),
    keras.layers.SeparableConv2D: (kinds.SeparableConv2D, _CONVOLUTION),
    keras.layers.BatchNormalization: (kinds.BatchNormalization, {"axis": -1, "renorm": False}),
    keras.layers.ReLU: (kinds.ReLU, {"negative_slope": 0, "threshold": 0}),
    keras.layers.Activation: (kinds.Activation, {}),
    keras.layers.MaxPooling2D: (kinds.MaxPooling2D, _CHANNELS_LAST),
    keras.layers.AveragePooling2D: (kinds.AveragePooling2D, _CHANNELS_LAST),
    keras.layers.GlobalAveragePooling2D: (kinds.GlobalAveragePooling2D, _CHANNELS_LAST),
    keras.layers.ZeroPadding2D: (kinds.ZeroPadding2D, _CHANNELS_LAST),
    keras.layers.Cropping2D: (kinds.Cropping2D, _CHANNELS_LAST),
    keras.layers.Reshape: (kinds.Reshape, {}),
    keras.layers.Flatten: (kinds.Flatten, _CHANNELS_LAST),
    keras.layers.Dropout: (kinds.Dropout, {}),
    keras.layers.Dense: (kinds.Dense, {}),
    keras.layers.Add: (kinds.Add, {}),
    keras.layers.Multiply: (kinds.Multiply, {}),
    keras.layers.Concatenate: (kinds.Concatenate, {"axis": -1}),
    ConvexSum: (kinds.ConvexSum, {}),
}


def from_keras(model: keras.Model) -> Graph:
    """Return the graph of a functional or Sequential Keras model, with its weights.

    A node has the name of its layer. A layer with an activation of its own becomes two nodes, NAME
    and NAME_activation. The layers of a model inside the model keep their names where no other
    layer has them, and become MODEL_NAME where one has. Sums, products and differences written as
    x + y, 2 * x become layers. `from_keras(to_keras(graph, learnable=True))` is the graph again.

    Args:
        model: Made of the layers in the table above and of models of those, each used once.

    Raises:
        GraphError: The model has another layer, setting or form; the message names it.
    """
    functional = _functional(model)
    _refuse_unknown(functional)
    reading = _Reading(Counter(_all_names(functional)))
    reading.graph.output = reading.read(functional)
    check(reading.graph)
    return reading.graph


def _functional(model: keras.Model) -> keras.Model:
    """Return a model in its functional form, with one input and one output."""
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise GraphError(
            f"{model!r} is not a functional or a built Sequential Keras model, whose layers could"
            " be followed from input to output."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise GraphError(
            f"the model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)}"
            " outputs; a graph has one of each."
        )
    return model


def _is_readable_model(layer: Any) -> bool:
    """Return whether a layer is a model whose layers can be followed: not a subclass of one."""
    return isinstance(layer, keras.Model) and type(layer).__module__.startswith("keras.")


def _refuse_unknown(model: keras.Model) -> None:
    """Raise if there are layers or operations that are not in the tables; name all of them."""
    unknown = list(_unknown(model))
    if unknown:
        raise GraphError(
            f"{'; '.join(unknown)}. A graph can have"
            f" {', '.join(kind.__name__ for kind in _KINDS)}; sums, products and differences; and"
            " models of those."
        )


def _unknown(model: keras.Model) -> Iterator[str]:
    for operation in model.operations:
        kind = type(operation).__name__
        if _is_readable_model(operation):
            yield from _unknown(_functional(operation))
        elif not isinstance(operation, keras.layers.Layer):
            if kind not in _OPERATIONS:
                yield f"{operation.name!r} is the operation {kind}"
        elif not isinstance(operation, keras.layers.InputLayer) and _entry(operation) is None:
            yield f"layer {operation.name!r} is of the kind {kind}"


def _all_names(model: keras.Model) -> Iterator[str]:
    for operation in model.operations:
        if _is_readable_model(operation):
            yield from _all_names(_functional(operation))
        else:
            yield operation.name


@dataclass
class _Reading:
    """A graph that grows while a model is read.

    Attributes:
        uses: How many layers have a name, those of models inside the model included.
        seen: The layers that were read.
    """

    uses: Counter[str]
    graph: Graph = field(default_factory=Graph)
    seen: set[int] = field(default_factory=set)

    def read(self, model: keras.Model, given: str | None = None) -> str:
        """Add the layers of a functional model, and return the node that puts out what it does.

        Args:
            model: The model.
            given: The node that a model inside another one reads; None for the outermost.
        """
        operations = {operation.name: operation for operation in model.operations}
        config = model.get_config()
        ends: dict[str, str] = {}  # layer -> the node that puts out what the layer does
        for entry in config["layers"]:
            operation = operations[entry["name"]]
            if id(operation) in self.seen:
                raise _used(operation.name, "in several places")
            self.seen.add(id(operation))
            call = _call(entry)
            tensors = list(_tensors(call))
            inputs = [ends[tensor["keras_history"][0]] for tensor in tensors]
            name = self._free_name(operation.name, None if given is None else model.name)
            if isinstance(operation, keras.layers.InputLayer):
                end = given or self.graph.add(name, _input(operation))
            elif isinstance(operation, keras.Model):
                end = self.read(_functional(operation), *inputs)
            elif isinstance(operation, keras.layers.Layer):
                end = self._add(name, operation, inputs, len(tensors[0]["shape"]))
            else:
                end = self.graph.add(name, _operation(operation, call["args"]), inputs)
            ends[operation.name] = end
        (output,) = np.ravel(config["output_layers"])[:1]  # name, call, which of its tensors
        return ends[str(output)]

    def _free_name(self, name: str, model: str | None) -> str:
        """Return a name for a node: the layer's own, unless it is inside and another has it."""
        if model is not None and self.uses[name] > 1:
            name = f"{model}_{name}"
        return self.graph.unique_name(name) if name in self.graph else name

    def _add(self, name: str, layer: keras.layers.Layer, inputs: list[str], rank: int) -> str:
        """Add a layer and the activation that it has; return the last node."""
        name = self.graph.add(name, _kind_of(layer, rank), inputs, layer_weights(layer))
        if isinstance(layer, keras.layers.Activation):
            return name
        activation = _activation_name(layer)
        if activation == "linear":
            return name
        known = {"relu": kinds.ReLU(), "relu6": kinds.ReLU(6.0)}  # what operators look for
        node = self._free_name(f"{name}_activation", None)
        return self.graph.add(node, known.get(activation) or kinds.Activation(activation), [name])


# --- How layers are connected --------------------------------------------------------------------


def _call(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments with which a layer of a model's configuration was called."""
    calls = entry["inbound_nodes"]
    if len(calls) > 1:
        raise _used(entry["name"], f"{len(calls)} times")
    if not calls:
        return {"args": (), "kwargs": {}}
    if calls[0]["kwargs"].get("training"):
        raise GraphError(
            f"layer {entry['name']!r} was called with training=True, which a graph cannot express."
        )
    return calls[0]


def _used(name: str, how_often: str) -> GraphError:
    return GraphError(f"layer {name!r} is used {how_often}; a graph has no shared layers.")


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _tensors(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield what the configuration says of each tensor in a value."""
    if _is_tensor(value):
        yield value["config"]
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


# --- Operations --------------------------------------------------------------------------------

# With two tensors; with a tensor and then a number; with a number and then a tensor.
_OPERATIONS: dict[str, tuple[Any, Any, Any]] = {
    "Add": (
        kinds.Add(),
        lambda number: kinds.Rescaling(1.0, number),
        lambda number: kinds.Rescaling(1.0, number),
    ),
    "Multiply": (kinds.Multiply(), kinds.Rescaling, kinds.Rescaling),
    "Subtract": (
        None,
        lambda number: kinds.Rescaling(1.0, -number),
        lambda number: kinds.Rescaling(-1.0, number),
    ),
}


def _operation(operation: Any, values: list[Any]) -> kinds.Layer:
    """Return the layer for an operation such as x + y or 2 * x, with what it was called with."""
    of_tensors, number_second, number_first = _OPERATIONS[type(operation).__name__]
    first, second = values
    if _is_tensor(first) and _is_tensor(second) and of_tensors is not None:
        return of_tensors
    if _is_tensor(first) and isinstance(second, int | float):
        return number_second(second)
    if isinstance(first, int | float) and _is_tensor(second):
        return number_first(first)
    raise GraphError(
        f"{operation.name!r} is the operation {type(operation).__name__} of something else than"
        " what a graph can have: sums and products of two tensors, and sums, products and"
        " differences of a tensor and a number."
    )


# --- Layers ------------------------------------------------------------------------------------


def _input(layer: keras.layers.InputLayer) -> kinds.Input:
    shape = layer.batch_shape[1:]
    if None in shape:
        raise GraphError(
            f"input {layer.name!r} has the shape {shape}; a graph needs a size in place of None."
        )
    return kinds.Input(shape)


def _kind_of(layer: keras.layers.Layer, rank: int) -> kinds.Layer:
    kind, required = _entry(layer)
    for setting, value in required.items():
        found = _setting(layer, setting, rank)
        if found != value:
            raise GraphError(
                f"layer {layer.name!r} ({type(layer).__name__}) has {setting}={found!r}; a graph"
                f" has such layers with {setting}={value!r} only."
            )
    if layer.compute_dtype != "float32":
        raise GraphError(f"layer {layer.name!r} computes in {layer.compute_dtype}, not float32.")
    if kind is kinds.Activation:
        given = {"activation": _activation_name(layer)}
    elif kind is kinds.Normalization:
        given = {"mean": _plain(layer.input_mean), "variance": _plain(layer.input_variance)}
    else:
        given = {part.name: _plain(getattr(layer, part.name)) for part in fields(kind)}
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise GraphError(f"layer {layer.name!r}: {error}") from None


def _entry(
    layer: keras.layers.Layer,
) -> tuple[type[kinds.Layer], Mapping[str, Any]] | None:
    """Return what the table has for a layer, None if nothing."""
    for kind, entry in _KINDS.items():
        # Other subclasses may compute something else; those of this package do not.
        if type(layer) is kind or (
            isinstance(layer, kind) and type(layer).__module__.startswith("lemonade_tf.")
        ):
            return entry
    return None


def _setting(layer: keras.layers.Layer, name: str, rank: int) -> Any:
    """Return a setting of a layer whose input has so many dimensions, the batch included."""
    value = getattr(layer, name)
    if name == "axis" and value in (rank - 1, (rank - 1,), (-1,)):
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
