"""Converting a Keras model to a graph.

A model is read from the record of the calls of its layers, which every functional model has,
whatever its class. A model that is used as a layer is replaced by its layers. `layer_kinds`
converts the single layers; what it cannot express becomes an opaque node. Every node remembers its
layer (`origins`), so `to_keras` restores the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph, GraphError, Layer, ShapeError, check
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.graph import freeze
from lemonade_tf.architecture.layers import Shape
from lemonade_tf.architecture.opaque import Opaque, Outputs, Part, Pointwise
from lemonade_tf.keras_bridge.blueprints import Blueprint, blueprint_of
from lemonade_tf.keras_bridge.functional import (
    as_functional,
    computes_what_its_layers_do,
    tensor_calls,
)
from lemonade_tf.keras_bridge.keras_defaults import keras_defaults
from lemonade_tf.keras_bridge.layer_kinds import (
    built_in_activation,
    depthwise_kind,
    input_kind,
    layer_kind,
)
from lemonade_tf.keras_bridge.model_records import (
    all_calls,
    all_names,
    is_compatible,
    model_origin,
    with_slots,
)
from lemonade_tf.keras_bridge.operation_kinds import (
    is_pointwise_call,
    operation_kind,
    split_kinds,
)
from lemonade_tf.keras_bridge.origins import LayerOrigin, ModelOrigin, Scope, fill
from lemonade_tf.keras_bridge.weights import layer_weights, opaque_weights

# Layers of image processing record a training mode if none is given, but leave it to the model.
_RECORD_TRAINING = (kinds.TrainingOnly, kinds.Resizing)
# Layers of these kinds also take integers; others compute with them in another way than a graph.
_TAKE_INTEGERS = (kinds.Rescaling, kinds.Normalization, kinds.Flatten, kinds.Reshape)


@keras_defaults()
def from_keras(
    model: keras.Model, *, input_shape: Shape | Mapping[str, Shape] | None = None
) -> Graph:
    """Convert a functional or Sequential Keras model to a graph, with its weights.

    A node has the name of its layer. A layer with an activation becomes two nodes, NAME and
    NAME_activation. The layers of an inner model keep their names if these are unique, else they
    become MODEL_NAME. Operations such as x + y and 2 * x become layers. A layer or an operation of
    unknown kind becomes an opaque node, which no change of channels or sizes crosses.

    `to_keras` converts the graph, edited or not, to the model again: with its layers, inner models,
    inputs and outputs as they were, apart from the edits. `from_keras(to_keras(graph,
    learnable=True))` returns an equal graph.

    Args:
        model: The model, of any class as long as its layers define what it computes.
        input_shape: The sizes to use for open ones, (height, width, channels), or these by the name
            of the input. Without them, an open size counts as 224 in images and as 16 elsewhere.

    Raises:
        GraphError: If the model is not functional, or does not fit `input_shape`.
    """
    functional = as_functional(model)
    converter = _Converter(
        Counter(all_names(functional)), Counter(all_calls(functional)), input_shape
    )
    outputs = converter.convert(functional, (), model)
    graph = converter.graph
    if len(outputs) == 1:
        graph.output = outputs[0]
    else:
        graph.output = graph.add(converter.free_name("outputs"), Outputs(), outputs)
    graph.remove_unused()
    graph.origin = converter.models
    check(graph)
    return graph


@dataclass(frozen=True)
class _End:
    """The node that outputs a tensor, and which input of the models around it the tensor is."""

    node: str
    entry: Mapping[Scope, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Call:
    """A call of a layer or an operation.

    Attributes:
        operation: The layer or operation.
        origin: What its node remembers, without the blueprint.
        values: The arguments.
        inputs: The nodes of its tensors.
        tensors: These tensors, in the model.
        outputs: The tensors that it returns.
    """

    operation: Any
    origin: LayerOrigin
    values: tuple[Any, ...]
    inputs: tuple[str, ...]
    tensors: Sequence[Any]
    outputs: Sequence[Any]


@dataclass
class _Converter:
    """A graph that grows while a model is read.

    Attributes:
        uses: How many layers have a name, including the layers of inner models.
        calls: How many times each layer is called, by its id.
        input_shape: The argument of `from_keras`.
        graph: The graph so far.
        models: The origins of the models.
        blueprints: The blueprints of the layers so far, by id of the layer.
        keys: A number for each layer so far, by its id.
        shapes: The shape of the output of every node.
    """

    uses: Counter[str]
    calls: Counter[int]
    input_shape: Shape | Mapping[str, Shape] | None
    graph: Graph = field(default_factory=Graph)
    models: dict[Scope, ModelOrigin] = field(default_factory=dict)
    blueprints: dict[int, Blueprint] = field(default_factory=dict)
    keys: dict[int, str] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)

    # --- Models ----------------------------------------------------------------------------------

    def convert(
        self,
        functional: keras.Model,
        scope: Scope,
        model: keras.Model,
        sources: Sequence[_End] = (),
        *,
        arguments: Any = None,
        training: bool | None = None,
    ) -> list[str]:
        """Add the layers of a functional model, and return the nodes of its outputs.

        Args:
            functional: The model in its functional form.
            scope: The models around it and itself; () for the outermost one.
            model: The model.
            sources: What its inputs are, for an inner model.
            arguments: The arguments of its call, for an inner model.
            training: The mode in which it is called.
        """
        ends: dict[int, _End] = {}
        for index, tensor in enumerate(functional.inputs):
            if scope:
                source = sources[index]
                ends[id(tensor)] = replace(source, entry={**source.entry, scope: index})
            else:
                ends[id(tensor)] = _End(self._add_input(tensor))
        for call in tensor_calls(functional):
            names = self._convert_call(call, ends, scope, functional, training)
            for tensor, name in zip(call.outputs, names, strict=True):
                ends[id(tensor)] = _End(name)
        outputs = [ends[id(tensor)].node for tensor in functional.outputs]
        self.models[scope] = model_origin(model, functional, outputs, arguments)
        return outputs

    def _add_input(self, tensor: Any) -> str:
        layer = tensor._keras_history.operation
        given = self.input_shape
        kind = input_kind(layer, given.get(layer.name) if isinstance(given, Mapping) else given)
        name = self.free_name(layer.name)
        origin = LayerOrigin(blueprint=self._blueprint(layer), kind=kind, num_inputs=0)
        return self._add(name, kind, (), origin)

    def _convert_call(
        self,
        call: Any,
        ends: Mapping[int, _End],
        scope: Scope,
        model: keras.Model,
        training: bool | None,
    ) -> list[str]:
        """Add the nodes of a call in a model, and return those of its outputs."""
        operation, tensors = call.operation, call.arguments.keras_tensors
        sources = [ends[id(tensor)] for tensor in tensors]
        arguments = with_slots(call.arguments)
        own = call.arguments.kwargs.get("training")
        training = own if training is None else training
        if self._is_transparent(operation, call, model):
            inner = (*scope, self.free_name(operation.name))
            functional = as_functional(operation)
            return self.convert(
                functional, inner, operation, sources, arguments=arguments, training=training
            )
        key = self.keys.setdefault(id(operation), f"{len(self.keys)}")
        key = key if self.calls[id(operation)] > 1 else None
        origin = LayerOrigin(
            shared=key if getattr(operation, "weights", ()) else None,
            layer_key=key,
            arguments=arguments,
            num_inputs=len(tensors),
            scope=scope,
            entries={i: end.entry for i, end in enumerate(sources) if end.entry},
            training=training,
        )
        values = (*call.arguments.args, *call.arguments.kwargs.values())
        inputs = tuple(end.node for end in sources)
        name = self.free_name(operation.name, scope[-1] if scope else None)
        return self._add_call(name, _Call(operation, origin, values, inputs, tensors, call.outputs))

    def _is_transparent(self, operation: Any, call: Any, model: keras.Model) -> bool:
        """Return whether the layers of an inner model can take its place.

        The graph has only what its output depends on, so every input and output has to be used.
        """
        if not computes_what_its_layers_do(operation) or self.calls[id(operation)] > 1:
            return False
        inner = as_functional(operation)
        consumed = {id(t) for c in tensor_calls(inner) for t in c.arguments.keras_tensors}
        used = {id(t) for c in tensor_calls(model) for t in c.arguments.keras_tensors}
        used.update(id(t) for t in model.outputs)
        entered = {id(t) for t in inner.inputs}
        return (
            len(call.arguments.keras_tensors) == len(inner.inputs)
            and entered <= consumed
            and not entered.intersection(id(t) for t in inner.outputs)
            and all(id(t) in used for t in call.outputs)
        )

    # --- Layers ----------------------------------------------------------------------------------

    def _add_call(self, name: str, call: _Call) -> list[str]:
        """Add the node of a layer, and that of its activation, if it has one."""
        known = self._known_kind(call)
        if known is None:
            return self._add_split(name, call) or self._add_opaque(name, call)
        kind, activation, weights = known
        blueprint = self._blueprint(call.operation)
        origin = replace(call.origin, blueprint=blueprint, kind=kind)
        name = self._add(name, kind, call.inputs, origin, weights)
        if activation is None:
            return [name]
        part = LayerOrigin(kind=activation, scope=origin.scope, activation_of=name)
        if isinstance(activation, Opaque):
            layer = keras.layers.Activation(call.operation.activation, dtype=call.outputs[0].dtype)
            part = replace(part, blueprint=blueprint_of(layer))
        return [self._add(self.free_name(f"{name}_activation", new=True), activation, [name], part)]

    def _known_kind(
        self, call: _Call
    ) -> tuple[Layer, Layer | None, Mapping[str, np.ndarray]] | None:
        """Return the kind, the activation and the weights of a layer; None if it is opaque."""
        operation, shapes = call.operation, [self.shapes[i] for i in call.inputs]
        activation, weights = None, {}
        try:
            if isinstance(operation, keras.layers.Layer):
                kind = layer_kind(operation, len(shapes[0]) + 1)
                weights = layer_weights(operation)
                depthwise = depthwise_kind(kind, shapes[0][-1] if shapes[0] else 0)
                if depthwise is not None:
                    kind, shape = depthwise, depthwise.weight_shapes(*shapes)["kernel"]
                    weights = freeze({**weights, "kernel": weights["kernel"].reshape(shape)})
            else:
                kind = operation_kind(operation, call.values, shapes)
            expected = kind.num_inputs
            if not shapes if expected is None else len(shapes) != expected:
                return None
            shape = kind.output_shape(*shapes)
            of_weights = dict(kind.weight_shapes(*shapes))
        except (GraphError, ShapeError, IndexError, ValueError):
            return None
        is_trained = call.origin.training and getattr(operation, "_call_has_training_arg", False)
        if is_trained and not isinstance(kind, _RECORD_TRAINING):
            return None  # a graph describes inference
        takes_integers = isinstance(operation, keras.layers.Layer) and isinstance(
            kind, _TAKE_INTEGERS
        )
        if not takes_integers and any("float" not in str(t.dtype) for t in call.tensors):
            return None
        fits = len(call.outputs) == 1 and is_compatible(shape, call.outputs[0].shape[1:])
        if not fits or of_weights != {key: array.shape for key, array in weights.items()}:
            return None
        if not all(np.isfinite(array).all() for array in weights.values()):
            return None
        if isinstance(operation, keras.layers.Layer) and not isinstance(kind, kinds.Activation):
            activation = built_in_activation(operation, shape, self.keys[id(operation)])
        return kind, activation, weights

    def _add_split(self, name: str, call: _Call) -> list[str]:
        """Add slices for a split of channels, and return their nodes; none for anything else."""
        if len(call.inputs) != 1 or "float" not in str(call.tensors[0].dtype):
            return []
        return [
            self._add(
                self.free_name(f"{name}_part", new=True),
                part,
                call.inputs,
                LayerOrigin(kind=part, scope=call.origin.scope, entries=call.origin.entries),
            )
            for part in split_kinds(call.operation, self.shapes[call.inputs[0]])
        ]

    def _add_opaque(self, name: str, call: _Call) -> list[str]:
        """Add a node that carries a layer or operation as it is, and nodes of its outputs."""
        operation = call.operation
        weights = opaque_weights(operation)
        shapes = tuple(self._opaque_shapes(call))
        sizes = [self.shapes[i] for i in call.inputs]
        make = Pointwise if is_pointwise_call(operation, call.values, sizes) else Opaque
        kind = make(
            kind=type(operation).__name__,
            key=self.keys[id(operation)],
            input_shapes=tuple(sizes),
            shapes=shapes,
            weights=tuple((key, array.shape) for key, array in weights.items()),
        )
        origin = replace(call.origin, blueprint=self._blueprint(operation), kind=kind)
        name = self._add(name, kind, call.inputs, origin, weights)
        if len(shapes) == 1:
            return [name]
        parts = []
        for index, shape in enumerate(shapes):
            part = Part(index, shape)
            own = LayerOrigin(kind=part, scope=origin.scope)
            parts.append(self._add(self.free_name(f"{name}_output", new=True), part, [name], own))
        return parts

    def _opaque_shapes(self, call: _Call) -> list[Shape]:
        """Return the shapes of the outputs of a call, with 1 for what is unknown."""
        recorded = [tuple(tensor.shape[1:]) for tensor in call.outputs]
        if any(None in shape for shape in recorded):
            tensors = [
                keras.KerasTensor((tensor.shape[0], *self.shapes[i]), tensor.dtype)
                for i, tensor in zip(call.inputs, call.tensors, strict=True)
            ]
            args, kwargs = fill(call.origin.arguments, tensors)
            with suppress(ValueError, TypeError, NotImplementedError):  # it stays unknown
                spec = call.operation.compute_output_spec(*args, **kwargs)
                recorded = [tuple(tensor.shape[1:]) for tensor in keras.tree.flatten(spec)]
        return [tuple(1 if n is None else n for n in shape) for shape in recorded]

    def _add(
        self,
        name: str,
        kind: Layer,
        inputs: Sequence[str],
        origin: LayerOrigin,
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> str:
        self.graph.add(name, kind, inputs, weights, origin)
        self.shapes[name] = kind.output_shape(*[self.shapes[i] for i in inputs])
        return name

    def _blueprint(self, operation: Any) -> Blueprint:
        if id(operation) not in self.blueprints:
            self.blueprints[id(operation)] = blueprint_of(operation)
        return self.blueprints[id(operation)]

    def free_name(self, name: str, model: str | None = None, *, new: bool = False) -> str:
        """Return a name for a node.

        Args:
            name: The name of the layer, which the node gets if no other layer has it.
            model: The name of the inner model that contains the layer.
            new: Whether no layer has this name, so that it must differ from those of all layers.
        """
        if model is not None and self.uses[name] > 1:
            name, new = f"{model}_{name}", True
        free, number = name, 1
        while free in self.graph or (new and self.uses[free]):
            number, new = number + 1, True
            free = f"{name}_{number}"
        return free
