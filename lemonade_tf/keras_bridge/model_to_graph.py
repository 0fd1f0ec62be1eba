"""A Keras model as a graph.

A model is read from its configuration, layer by layer; a model inside it, used as a layer, is read
in its place. What a layer becomes is said in `layer_kinds`. Which layers are frozen is left behind.
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


def from_keras(model: keras.Model, *, input_shape: kinds.Shape | None = None) -> Graph:
    """Return the graph of a functional or Sequential Keras model, with its weights.

    A node has the name of its layer. A layer with an activation of its own becomes two nodes, NAME
    and NAME_activation. The layers of a model inside the model keep their names where no other
    layer has them, and become MODEL_NAME where one has. Sums, products and differences written as
    x + y, 2 * x become layers. `from_keras(to_keras(graph, learnable=True))` is the graph again.

    Args:
        model: Made of the layers in the table of `layer_kinds` and of models of those, each used
            once.
        input_shape: (height, width, channels), for a model that leaves its sizes open.

    Raises:
        GraphError: The model has another layer, setting or form; the message names it.
    """
    functional = _functional(model)
    _refuse_unknown(functional)
    reading = _Reading(Counter(_all_names(functional)), input_shape)
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
    if _has_own_call(model):
        raise GraphError(
            f"the model {model.name!r} is a {type(model).__name__} with a call of its own; a graph"
            " is read from layers, not from code."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise GraphError(
            f"the model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)}"
            " outputs; a graph has one of each."
        )
    return model


def _is_readable_model(layer: Any) -> bool:
    """Return whether a layer is a model whose layers say what it computes."""
    return isinstance(layer, keras.Model) and not _has_own_call(layer)


def _has_own_call(model: keras.Model) -> bool:
    """Return whether a subclass says in code what the model computes."""
    return any(
        "call" in vars(kind) and not kind.__module__.startswith("keras.")
        for kind in type(model).__mro__
    )


def _refuse_unknown(model: keras.Model) -> None:
    """Raise if there is a layer, an activation or an operation that no table has; name all."""
    unknown = list(_unknown(model))
    if unknown:
        raise GraphError(
            f"{'; '.join(unknown)}. A graph can have"
            f" {', '.join(kind.__name__ for kind in KINDS)}; the activations"
            f" {', '.join(kinds.ACTIVATIONS)}; sums, products and differences; and models of those."
        )


def _unknown(model: keras.Model) -> Iterator[str]:
    for operation in model.operations:
        kind = type(operation).__name__
        if _is_readable_model(operation):
            yield from _unknown(_functional(operation))
        elif not isinstance(operation, keras.layers.Layer):
            if kind not in OPERATIONS:
                yield f"{operation.name!r} is the operation {kind}"
        elif not isinstance(operation, keras.layers.InputLayer) and table_entry(operation) is None:
            yield f"layer {operation.name!r} is of the kind {kind}"
        elif not has_known_activation(operation):
            yield f"layer {operation.name!r} has the activation {activation_name(operation)!r}"


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
        input_shape: As `from_keras` was given it.
        seen: The layers that were read.
    """

    uses: Counter[str]
    input_shape: kinds.Shape | None
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
                end = given or self.graph.add(name, input_kind(operation, self.input_shape))
            elif isinstance(operation, keras.Model):
                end = self.read(_functional(operation), *inputs)
            elif isinstance(operation, keras.layers.Layer):
                end = self._add(name, operation, inputs, len(tensors[0]["shape"]))
            else:
                values = [*call["args"], *call["kwargs"].values()]
                end = self.graph.add(name, operation_kind(operation, values), inputs)
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
        name = self.graph.add(name, layer_kind(layer, rank), inputs, layer_weights(layer))
        if isinstance(layer, keras.layers.Activation):
            return name
        activation = activation_name(layer)
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


def _tensors(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield what the configuration says of each tensor in a value."""
    if is_tensor(value):
        yield value["config"]
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
