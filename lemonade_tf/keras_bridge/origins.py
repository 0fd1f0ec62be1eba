"""Where the nodes of an imported graph come from, so that the model can be restored.

The graph of an imported model is flat: models within it are replaced by their layers, and a layer
with an activation is two nodes. Every node remembers its layer, how the layer was called, and in
which model; `restored_model` reads that. Edits of the graph do not touch it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from lemonade_tf.architecture import Graph, Layer
from lemonade_tf.architecture.graph import Origin
from lemonade_tf.keras_bridge.blueprints import Blueprint

Scope = tuple[str, ...]  # the models around a node, from the outermost; () for the model itself


@dataclass(frozen=True)
class Slot:
    """The place of a tensor in the arguments of a call, or in the inputs or outputs of a model."""

    index: int


@dataclass(frozen=True)
class LayerOrigin(Origin):
    """The layer or operation of a node.

    Attributes:
        blueprint: Makes it again; None for a node that is only a part of another one.
        kind: The layer of the node as imported. What differs from it now, an edit changed.
        arguments: (args, kwargs) of its call, with a Slot for each tensor.
        num_inputs: How many tensors these have.
        scope: The models around it.
        entries: For each slot that is an input of one of these models: which one, by model.
        training: Whether it was called in training or inference mode; None if that was left open.
        activation_of: The node of the layer in which it is built in as an activation.
        layer_key: A key that the nodes of all calls of one layer have in common, also of a layer
            without weights, whose calls need not stay alike.
    """

    blueprint: Blueprint | None = None
    kind: Layer | None = None
    arguments: Any = ((Slot(0),), {})
    num_inputs: int = 1
    scope: Scope = ()
    entries: Mapping[int, Mapping[Scope, int]] = field(default_factory=dict)
    training: bool | None = None
    activation_of: str | None = None
    layer_key: Hashable = None


@dataclass(frozen=True)
class ModelOrigin:
    """A model: the imported one, or one that it uses as a layer.

    Attributes:
        name: Its name.
        kind: Its class.
        input_layers: The layers of its inputs.
        inputs: The structure of its inputs, with Slots.
        outputs: The structure of its outputs, with Slots.
        output_nodes: The nodes of its outputs.
        trainable: Whether it is trainable.
        arguments: (args, kwargs) of its call as a layer.
        compiled: The arguments of `compile`; None if it was not compiled.
    """

    name: str
    kind: type
    input_layers: tuple[Blueprint, ...]
    inputs: Any
    outputs: Any
    output_nodes: tuple[str, ...] = ()
    trainable: bool = True
    arguments: Any = ((Slot(0),), {})
    compiled: Any = None


Models = Mapping[Scope, ModelOrigin]  # the origin of an imported graph


def output_node(graph: Graph, layer: str) -> str:
    """Return the node of a layer's output: its activation, if the layer has one built in."""
    for consumer in graph.consumers(layer):
        origin = graph[consumer].origin
        if isinstance(origin, LayerOrigin) and origin.activation_of == layer:
            return consumer
    return layer


def fill(arguments: Any, tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return (args, kwargs) with tensors in place of the Slots."""
    args, kwargs = (
        keras.tree.map_structure(
            lambda value: tensors[value.index] if isinstance(value, Slot) else value, part
        )
        for part in arguments
    )
    return args or (), kwargs or {}
