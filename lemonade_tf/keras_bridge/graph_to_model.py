"""Converting a graph to a Keras model.

Layer kinds have the names and arguments of the layers in Keras, so most of them are converted by
calling the Keras layer of the same name. A Keras layer has the name of its node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, singledispatch
from typing import Any
from zlib import crc32

import keras
import numpy as np

from lemonade_tf.architecture import Graph, GraphError, Node
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.branches import droppable_paths, shaken_means
from lemonade_tf.architecture.opaque import Opaque, Part
from lemonade_tf.architecture.regularization import NO_REGULARIZATION, Regularization
from lemonade_tf.keras_bridge.convex_sum import ConvexSum
from lemonade_tf.keras_bridge.keras_defaults import keras_defaults
from lemonade_tf.keras_bridge.opaque_calls import OpaqueCall, SelectOutput
from lemonade_tf.keras_bridge.origins import LayerOrigin
from lemonade_tf.keras_bridge.random_paths import DropPath, ShakeShake
from lemonade_tf.keras_bridge.restored_model import restore
from lemonade_tf.keras_bridge.unnamed_layers import (
    SelectChannels,
    layer_scale,
    slice_channels,
    training_only_layer,
)
from lemonade_tf.keras_bridge.weights import assign_weights, initial_values

LayerFactory = Callable[..., keras.layers.Layer]


@dataclass(frozen=True)
class _Options:
    """Options of the model that is built; see `to_keras`."""

    learnable: bool
    batch_normalization: LayerFactory
    seed: int | None
    shaken: frozenset[str] = frozenset()


@keras_defaults()
def to_keras(
    graph: Graph,
    *,
    learnable: bool = False,
    logits: bool = False,
    batch_normalization: LayerFactory = keras.layers.BatchNormalization,
    seed: int | None = None,
    name: str | None = None,
    layer_per_node: bool = False,
    regularization: Regularization = NO_REGULARIZATION,
    num_steps: int = 0,
) -> keras.Model:
    """Convert a graph to a functional Keras model.

    The model gets the weights of the graph, or those of Keras's default initializers if the graph
    has none. Neither depends on Keras's settings of the process; see `keras_defaults`.

    The graph of an imported model becomes that model again, apart from the edits: with the
    configurations of its layers, its inner models, its inputs and its outputs.

    Args:
        graph: The graph; the model does not reference it.
        learnable: Whether lambda of a convex sum is a trainable weight, which requires a layer of
            this package. By default the model consists of stock layers only: a convex sum NAME
            becomes Rescaling layers NAME_x and NAME_y, which contain 1 - lambda and lambda, and an
            Add NAME.
        logits: Whether to leave out a softmax at the end.
        batch_normalization: Class or function that makes a batch normalization from the arguments
            of keras.layers.BatchNormalization, for a backend that has a faster one for training.
            Models to be saved use Keras's.
        seed: Random seed of dropout and of regularization.
        name: Name of the model. By default, that of the imported model, or "network".
        layer_per_node: Whether the model of an imported graph has instead a layer for every node,
            which has its name and computes in float32, as the models of other graphs do.
        regularization: What acts on branches in training, by layers of this package; not for the
            model of an imported graph unless it has a layer for every node.
        num_steps: The number of training steps, for the schedule of ScheduledDropPath.

    Raises:
        GraphError: If Keras has no counterpart of a layer.
    """
    shaken = shaken_means(graph) if regularization.shake_shake else frozenset()
    options = _Options(learnable, batch_normalization, seed, shaken)
    if graph.origin is not None and not layer_per_node:
        return restore(graph, partial(_build_new, options), name=name)
    outputs = (logits_node(graph),) if logits else graph.outputs
    left_out = {graph.output}.difference(outputs)
    paths = droppable_paths(graph) if regularization.drop_path else frozenset()
    tensors: dict[str, Any] = {}
    for node_name in graph.topological_order():
        if node_name not in left_out:
            node = graph[node_name]
            inputs = [tensors[source] for source in node.inputs]
            for index in range(len(inputs)):
                if (node_name, index) in paths:
                    drop = _drop_path(
                        f"{node_name}_path_{index}", regularization, num_steps, options
                    )
                    inputs[index] = drop(inputs[index])
            tensors[node_name] = _build(node.layer, node_name, node, inputs, options)
    ends = [[tensors[n] for n in names] for names in (graph.inputs, outputs)]
    return keras.Model(*(end[0] if len(end) == 1 else end for end in ends), name=name or "network")


def _drop_path(
    name: str, regularization: Regularization, num_steps: int, options: _Options
) -> DropPath:
    return DropPath(regularization.drop_path, num_steps, _seed(name, options), name=name)


def _build_new(
    options: _Options, layer: kinds.Layer, name: str, node: Node, inputs: list[Any]
) -> Any:
    """Build a node that an imported model did not have."""
    return _build(layer, name, replace(node, origin=None), inputs, options)


def logits_node(graph: Graph) -> str:
    """Return the input node of a softmax at the end, or the output node if there is none."""
    node = graph[graph.output]
    return node.inputs[0] if node.layer == kinds.Activation("softmax") else graph.output


# --- From node to tensor ----------------------------------------------------------------------


@singledispatch
def _build(layer: kinds.Layer, name: str, node: Node, inputs: list[Any], options: _Options) -> Any:
    """Return the Keras tensor of a node's outputs."""
    keras_layer = _keras_layer(layer, name, options)
    call: dict[str, Any] = {}
    if isinstance(node.origin, LayerOrigin) and node.origin.blueprint is not None:
        keras_layer.trainable = node.origin.blueprint.trainable[:1] != (False,)
        if node.origin.training is not None and keras_layer._call_has_training_arg:
            call["training"] = node.origin.training
    with initial_values(keras_layer, node.weights):
        return keras_layer(inputs[0] if layer.num_inputs == 1 else inputs, **call)


@_build.register
def _(layer: kinds.Input, name: str, node: Node, inputs: list[Any], options: _Options) -> Any:
    dtype = None
    if isinstance(node.origin, LayerOrigin) and node.origin.blueprint is not None:
        dtype = (node.origin.blueprint.config or {}).get("dtype")
    return keras.Input(layer.shape, name=name, dtype=dtype)


@_build.register
def _(layer: Opaque, name: str, node: Node, inputs: list[Any], options: _Options) -> Any:
    assert isinstance(node.origin, LayerOrigin)
    keras_layer = OpaqueCall(node.origin, inputs, name)
    outputs = keras_layer(inputs[0] if len(inputs) == 1 else inputs)
    assign_weights(keras_layer, node)
    if node.origin.blueprint is not None:
        keras_layer.trainable = node.origin.blueprint.trainable[:1] != (False,)
    return outputs


@_build.register
def _(layer: Part, name: str, node: Node, inputs: list[Any], options: _Options) -> Any:
    return SelectOutput(layer.index, name)(inputs[0])


@_build.register
def _(layer: kinds.ConvexSum, name: str, node: Node, inputs: list[Any], options: _Options) -> Any:
    if options.learnable:
        keras_layer = ConvexSum(name=name)
        with initial_values(keras_layer, node.weights):
            return keras_layer(inputs)
    share = np.float32(node.weights.get("lambda", 0))
    shares = {"x": float(np.float32(1) - share), "y": float(share)}
    parts = [
        keras.layers.Rescaling(scale, name=f"{name}_{end}")(tensor)
        for (end, scale), tensor in zip(shares.items(), inputs, strict=True)
    ]
    return keras.layers.Add(name=name)(parts)


@_build.register
def _(
    layer: kinds.Normalization, name: str, node: Node, inputs: list[Any], options: _Options
) -> Any:
    keras_layer = keras.layers.Normalization(**_with_lists(layer), name=name)
    keras_layer.build(inputs[0].shape)
    if node.weights:  # the layer has no initializers that `initial_values` could replace
        keras_layer.set_weights([node.weights[v.name].astype(v.dtype) for v in keras_layer.weights])
        keras_layer.finalize_state()
    return keras_layer(inputs[0])


@_build.register
def _(layer: kinds.LayerScale, name: str, node: Node, inputs: list[Any], options: _Options) -> Any:
    keras_layer = layer_scale(layer, name)
    if node.weights:  # nor has this one
        keras_layer.set_weights([node.weights["gamma"]])
    return keras_layer(inputs[0])


@_build.register
def _(
    layer: kinds.ChannelSlice, name: str, node: Node, inputs: list[Any], options: _Options
) -> Any:
    if options.learnable:
        return SelectChannels(layer, name)(inputs[0])
    return slice_channels(layer, name, inputs[0])


# --- From layer to Keras layer ------------------------------------------------------------------


@singledispatch
def _keras_layer(layer: kinds.Layer, name: str, options: _Options) -> keras.layers.Layer:
    raise GraphError(
        f"layer {name!r} is a {type(layer).__name__}, which has no counterpart in Keras."
    )


@_keras_layer.register(kinds.Conv2D)
@_keras_layer.register(kinds.Conv2DTranspose)
@_keras_layer.register(kinds.DepthwiseConv2D)
@_keras_layer.register(kinds.SeparableConv2D)
@_keras_layer.register(kinds.LayerNormalization)
@_keras_layer.register(kinds.GroupNormalization)
@_keras_layer.register(kinds.ReLU)
@_keras_layer.register(kinds.LeakyReLU)
@_keras_layer.register(kinds.PReLU)
@_keras_layer.register(kinds.ELU)
@_keras_layer.register(kinds.Activation)
@_keras_layer.register(kinds.Pooling2D)
@_keras_layer.register(kinds.GlobalPooling2D)
@_keras_layer.register(kinds.ZeroPadding2D)
@_keras_layer.register(kinds.Cropping2D)
@_keras_layer.register(kinds.UpSampling2D)
@_keras_layer.register(kinds.Resizing)
@_keras_layer.register(kinds.Permute)
@_keras_layer.register(kinds.Reshape)
@_keras_layer.register(kinds.Flatten)
@_keras_layer.register(kinds.Dense)
@_keras_layer.register(kinds.Elementwise)
@_keras_layer.register(kinds.Concatenate)
def _(layer: kinds.Layer, name: str, options: _Options) -> keras.layers.Layer:
    if name in options.shaken:
        return ShakeShake(_seed(name, options), name=name)
    return getattr(keras.layers, type(layer).__name__)(**kinds.arguments(layer), name=name)


@_keras_layer.register
def _(layer: kinds.Rescaling, name: str, options: _Options) -> keras.layers.Layer:
    return keras.layers.Rescaling(**_with_lists(layer), name=name)


@_keras_layer.register
def _(layer: kinds.Dropout, name: str, options: _Options) -> keras.layers.Layer:
    seed = _seed(name, options)
    return keras.layers.Dropout(**kinds.arguments(layer), seed=seed, name=name)


@_keras_layer.register
def _(layer: kinds.TrainingOnly, name: str, options: _Options) -> keras.layers.Layer:
    return training_only_layer(layer, name, _seed(name, options))


def _seed(name: str, options: _Options) -> int | None:
    """Return the random seed of a layer, a different one per layer."""
    return None if options.seed is None else options.seed ^ crc32(name.encode())


@_keras_layer.register
def _(layer: kinds.BatchNormalization, name: str, options: _Options) -> keras.layers.Layer:
    return options.batch_normalization(**kinds.arguments(layer), name=name)


def _with_lists(layer: kinds.Layer) -> dict[str, Any]:
    """Return the arguments of a layer with lists in place of tuples, as Keras stores them."""
    arguments = kinds.arguments(layer).items()
    return {name: list(v) if isinstance(v, tuple) else v for name, v in arguments}
