"""Count the work of a network in a pass: the features of the latency model.

The time of a layer is a fixed overhead, plus time per multiply-add and per value of its inputs and
its output. The cost of a multiply-add or a value depends on the kind of layer. A convolution with a
window also gathers patches (positions x window x channels), which dominates if there are few
filters.

LiteRT folds a batch normalization into the preceding convolution, and a ReLU into the preceding
layer; folded layers cost nothing. In int8, the input and the output are converted (they are uint8),
which costs as much per value as a batch normalization.
"""

from __future__ import annotations

from functools import lru_cache, singledispatch
from math import prod

import numpy as np

from lemonade_tf.architecture.cost import layer_multiply_adds
from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    Input,
    Layer,
    Pooling2D,
    ReLU,
    Reshape,
    SeparableConv2D,
    Shape,
    TrainingOnly,
)

FEATURES = (
    "passes",
    "convolutions",
    "separable_convolutions",
    "normalizations",
    "other_layers",
    "window_multiply_adds",
    "depthwise_multiply_adds",
    "pointwise_multiply_adds",
    "patch_values",
    "convolution_values",
    "separable_values",
    "kernel_values",
    "normalization_values",
    "pooling_values",
    "other_values",
)
_CONVOLUTIONS = (Conv2D, Conv2DTranspose, DepthwiseConv2D, SeparableConv2D, Dense)


def features(graph: Graph, *, folded: bool, converted: bool = False) -> np.ndarray:
    """Count the work of a network in a pass over one image: (len(FEATURES),).

    Args:
        graph: The network; only its shapes are used.
        folded: Whether to leave out the layers that LiteRT folds.
        converted: Whether to count the conversion of the input and of the output, as in int8.
    """
    key = ("latency_features", folded, converted)
    return graph.cached(key, lambda g: _features(g, folded, converted))


def _features(graph: Graph, folded: bool, converted: bool) -> np.ndarray:
    shapes = graph.shapes()
    total = _ONE_PASS.copy()
    for name, node in graph.items():
        if not (folded and is_folded(graph, name)):
            total += layer_features(node.layer, shapes[name], *[shapes[i] for i in node.inputs])
    if converted:
        for name in (graph.input, graph.output):
            total += layer_features(BatchNormalization(), shapes[name], shapes[name])
    total.flags.writeable = False
    return total


def is_folded(graph: Graph, name: str) -> bool:
    """Return whether LiteRT folds a layer into the preceding one."""
    layer, inputs = graph[name].layer, graph[name].inputs
    if not isinstance(layer, BatchNormalization | ReLU) or len(graph.consumers(inputs[0])) > 1:
        return False
    previous = graph[inputs[0]].layer
    if isinstance(previous, _CONVOLUTIONS):
        return True
    if isinstance(layer, ReLU) and isinstance(previous, Add):
        return True
    # A ReLU after a batch normalization that is folded itself.
    return isinstance(previous, BatchNormalization) and is_folded(graph, inputs[0])


@lru_cache(maxsize=65536)
def layer_features(layer: Layer, output: Shape, *inputs: Shape) -> np.ndarray:
    """Count the work of a layer from the shapes of its output and its inputs."""
    work = _work(layer, output, *inputs)
    vector = np.array([work.get(name, 0) for name in FEATURES], float)
    vector.flags.writeable = False
    return vector


def _values(output: Shape, inputs: tuple[Shape, ...]) -> int:
    return prod(output) + sum(map(prod, inputs))


@singledispatch
def _work(layer: Layer, output: Shape, *inputs: Shape) -> dict[str, float]:
    return {"other_layers": 1, "other_values": _values(output, inputs)}


@_work.register(Input)
@_work.register(Flatten)
@_work.register(Reshape)
@_work.register(Dropout)
@_work.register(TrainingOnly)
def _(layer: Layer, output: Shape, *inputs: Shape) -> dict[str, float]:
    return {}


@_work.register
def _(layer: Conv2D, output: Shape, *inputs: Shape) -> dict[str, float]:
    multiply_adds = layer_multiply_adds(layer, output, *inputs)
    work = {
        "convolutions": 1,
        "convolution_values": _values(output, inputs),
        "kernel_values": prod(layer.weight_shapes(*inputs)["kernel"]),
    }
    if layer.kernel_size == (1, 1):
        return {**work, "pointwise_multiply_adds": multiply_adds}
    patch = prod(layer.kernel_size) * inputs[0][-1]
    patches = prod(output[:-1]) * patch
    return {**work, "window_multiply_adds": multiply_adds, "patch_values": patches}


@_work.register
def _(layer: Conv2DTranspose, output: Shape, *inputs: Shape) -> dict[str, float]:
    return {
        "convolutions": 1,
        "convolution_values": _values(output, inputs),
        "kernel_values": prod(layer.weight_shapes(*inputs)["kernel"]),
        "window_multiply_adds": layer_multiply_adds(layer, output, *inputs),
    }


@_work.register(SeparableConv2D)
@_work.register(DepthwiseConv2D)
def _(layer: SeparableConv2D, output: Shape, *inputs: Shape) -> dict[str, float]:
    channels = inputs[0][-1] * layer.depth_multiplier
    depthwise = prod(layer.kernel_size) * prod(output[:-1]) * channels
    return {
        "separable_convolutions": 1,
        "separable_values": _values(output, inputs),
        "depthwise_multiply_adds": depthwise,
        "pointwise_multiply_adds": layer_multiply_adds(layer, output, *inputs) - depthwise,
        "kernel_values": sum(map(prod, layer.weight_shapes(*inputs).values())),
    }


@_work.register
def _(layer: Dense, output: Shape, *inputs: Shape) -> dict[str, float]:
    return {
        "other_layers": 1,
        "pointwise_multiply_adds": layer_multiply_adds(layer, output, *inputs),
        "kernel_values": prod(layer.weight_shapes(*inputs)["kernel"]),
    }


@_work.register
def _(layer: BatchNormalization, output: Shape, *inputs: Shape) -> dict[str, float]:
    return {"normalizations": 1, "normalization_values": _values(output, inputs)}


@_work.register
def _(layer: Pooling2D, output: Shape, *inputs: Shape) -> dict[str, float]:
    return {"other_layers": 1, "pooling_values": prod(output) * prod(layer.pool_size)}


@_work.register
def _(layer: Activation, output: Shape, *inputs: Shape) -> dict[str, float]:
    if layer.activation == "linear":
        return {}
    return {"other_layers": 1, "other_values": _values(output, inputs)}


_ONE_PASS = np.array([float(name == "passes") for name in FEATURES])
