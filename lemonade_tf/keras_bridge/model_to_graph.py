"""Converting a Keras model to a graph.

A model is read from its configuration, layer by layer. A model that is used as a layer is replaced
by its layers. `layer_kinds` converts the single layers. Whether layers are frozen is not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph, GraphError, check
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.keras_bridge.keras_defaults import keras_defaults
from lemonade_tf.keras_bridge.layer_kinds import (
    KINDS,
    OPERATIONS,
    activation_name,
    has_known_activation,
    input_kind,
    is_tensor,
    layer_kind,
    operation_kind,
    table_entry,
)
from lemonade_tf.keras_bridge.weights import layer_weights


@keras_defaults()
def from_keras(model: keras.Model, *, input_shape: kinds.Shape | None = None) -> Graph:
    """Convert a functional or Sequential Keras model to a graph, with its weights.

    A node has the name of its layer. A layer with an activation becomes two nodes, NAME and
    NAME_activation. The layers of an inner model keep their names if these are unique, else they
    become MODEL_NAME. Sums, products and differences such as x + y and 2 * x become layers.
    `from_keras(to_keras(graph, learnable=True))` returns an equal graph.

    Args:
        model: A model of layers in the table of `layer_kinds` and of models of these, each used
            once.
        input_shape: (height, width, channels), for a model with open sizes.

    Raises:
        GraphError: If the model has an unsupported layer, setting or structure; the message names
            it.
    """
    functional = _functional(model)
    _refuse_unknown(functional)
    converter = _Converter(Counter(_all_names(functional)), input_shape)
    converter.graph.output = converter.convert(functional)
    check(converter.graph)
    return converter.graph


def _functional(model: keras.Model) -> keras.Model:
    """Return the functional form of a model with one input and one output."""
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise GraphError(
            f"{model!r} is not supported; expected a functional Keras model, or a Sequential one"
            " that is built."
        )
    if _has_custom_call(model):
        raise GraphError(
            f"the model {model.name!r} is a {type(model).__name__} with a custom call; expected a"
            " model that is defined by its layers."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise GraphError(
            f"the model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)}"
            " outputs; expected one of each."
        )
    return model


def _is_defined_by_layers(layer: Any) -> bool:
    """Return whether a layer is a model that computes what its layers do."""
    return isinstance(layer, keras.Model) and not _has_custom_call(layer)


def _has_custom_call(model: keras.Model) -> bool:
    """Return whether a subclass overrides what the model computes."""
    return any(
        "call" in vars(kind) and not kind.__module__.startswith("keras.")
        for kind in type(model).__mro__
    )


def _refuse_unknown(model: keras.Model) -> None:
    """Raise an error that names all layers, activations and operations that are not supported."""
    unknown = list(_unknown(model))
    if unknown:
        raise GraphError(
            f"{'; '.join(unknown)}. Supported are the layers"
            f" {', '.join(kind.__name__ for kind in KINDS)}; the activations"
            f" {', '.join(kinds.ACTIVATIONS)}; sums, products and differences; and models of these."
        )


def _unknown(model: keras.Model) -> Iterator[str]:
    for operation in model.operations:
        kind = type(operation).__name__
        if _is_defined_by_layers(operation):
            yield from _unknown(_functional(operation))
        elif not isinstance(operation, keras.layers.Layer):
            if kind not in OPERATIONS:
                yield f"{operation.name!r} is the operation {kind}"
        elif not isinstance(operation, keras.layers.InputLayer) and table_entry(operation) is None:
            yield f"layer {operation.name!r} has the type {kind}"
        elif not has_known_activation(operation):
            yield f"layer {operation.name!r} has the activation {activation_name(operation)!r}"


def _all_names(model: keras.Model) -> Iterator[str]:
    for operation in model.operations:
        if _is_defined_by_layers(operation):
            yield from _all_names(_functional(operation))
        else:
            yield operation.name


@dataclass
class _Converter:
    """A graph that grows while a model is read.

    Attributes:
        uses: How many layers have a name, including the layers of inner models.
        input_shape: The argument of `from_keras`.
        graph: The graph so far.
        seen: Ids of the layers that are converted.
    """

    uses: Counter[str]
    input_shape: kinds.Shape | None
    graph: Graph = field(default_factory=Graph)
    seen: set[int] = field(default_factory=set)

    def convert(self, model: keras.Model, source: str | None = None) -> str:
        """Add the layers of a functional model, and return the node with its outputs.

        Args:
            model: The model.
            source: The input node of an inner model; None for the outermost model.
        """
        operations = {operation.name: operation for operation in model.operations}
        config = model.get_config()
        ends: dict[str, str] = {}  # layer -> the node with its outputs
        # In the order of the configuration, so the inputs of a layer are converted before it.
        for entry in config["layers"]:
            operation = operations[entry["name"]]
            if id(operation) in self.seen:
                raise _shared_layer(operation.name, "in several places")
            self.seen.add(id(operation))
            call = _call(entry)
            tensors = list(_tensors(call))
            inputs = [ends[tensor["keras_history"][0]] for tensor in tensors]
            name = self._free_name(operation.name, None if source is None else model.name)
            if isinstance(operation, keras.layers.InputLayer):
                end = source or self.graph.add(name, input_kind(operation, self.input_shape))
            elif isinstance(operation, keras.Model):  # its layers take the place of the model
                end = self.convert(_functional(operation), *inputs)
            elif isinstance(operation, keras.layers.Layer):
                end = self._add(name, operation, inputs, len(tensors[0]["shape"]))
            else:
                values = [*call["args"], *call["kwargs"].values()]
                end = self.graph.add(name, operation_kind(operation, values), inputs)
            ends[operation.name] = end
        (output,) = np.ravel(config["output_layers"])[:1]  # name, call, which of its tensors
        return ends[str(output)]

    def _free_name(self, name: str, model: str | None) -> str:
        """Return a name for a node: the layer's own, if no other layer has it."""
        if model is not None and self.uses[name] > 1:
            name = f"{model}_{name}"
        return self.graph.unique_name(name) if name in self.graph else name

    def _add(self, name: str, layer: keras.layers.Layer, inputs: list[str], rank: int) -> str:
        """Add a layer and its activation, if it has one; return the last node."""
        name = self.graph.add(name, layer_kind(layer, rank), inputs, layer_weights(layer))
        if isinstance(layer, keras.layers.Activation):
            return name
        activation = activation_name(layer)
        if activation == "linear":
            return name
        known = {"relu": kinds.ReLU(), "relu6": kinds.ReLU(6.0)}  # operators look for ReLU layers
        node = self._free_name(f"{name}_activation", None)
        return self.graph.add(node, known.get(activation) or kinds.Activation(activation), [name])


# --- Connections between layers ------------------------------------------------------------------


def _call(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments of the only call of a layer in a model's configuration."""
    calls = entry["inbound_nodes"]
    if len(calls) > 1:
        raise _shared_layer(entry["name"], f"{len(calls)} times")
    if not calls:
        return {"args": (), "kwargs": {}}
    if calls[0]["kwargs"].get("training"):
        raise GraphError(
            f"layer {entry['name']!r} is called with training=True, which is not supported."
        )
    return calls[0]


def _shared_layer(name: str, how_often: str) -> GraphError:
    return GraphError(f"layer {name!r} is used {how_often}; shared layers are not supported.")


def _tensors(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the configuration of each tensor in a value."""
    if is_tensor(value):
        yield value["config"]
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
