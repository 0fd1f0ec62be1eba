"""What a network does in a pass, in a dozen numbers, of which its time is a weighted sum.

A layer takes a fixed time to be called, and time for each multiply-add and for each value that it
reads and writes; what a multiply-add or a value costs depends on the kind of layer. A convolution
with a window also gathers patches (positions x window x channels), which is most of the work where
there are few filters.

LiteRT has no layer for what it folds into the layer before: a batch normalization into a
convolution, and a ReLU into that.
"""

from __future__ import annotations

from functools import lru_cache, singledispatch
from math import prod

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import layer_multiply_adds
from lemonade_tf.architecture.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
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
_CONVOLUTIONS = (Conv2D, DepthwiseConv2D, SeparableConv2D, Dense)


def features(graph: Graph, *, folded: bool) -> np.ndarray:
    """Return what a network does in a pass on one image: (len(FEATURES),).

    Args:
        graph: The network; only its shapes are used.
        folded: Whether layers that LiteRT folds into the one before are left out.
    """
    return graph.cached(("latency_features", folded), lambda g: _features(g, folded))


def _features(graph: Graph, folded: bool) -> np.ndarray:
    shapes = graph.shapes()
    total = np.array(_ONE_PASS)
    for name, node in graph.items():
        if not (folded and _is_folded(graph, name)):
            total += layer_features(node.layer, shapes[name], *[shapes[i] for i in node.inputs])
    total.flags.writeable = False
    return total


def _is_folded(graph: Graph, name: str) -> bool:
    """Return whether LiteRT makes a layer part of the one that it reads."""
    layer, inputs = graph[name].layer, graph[name].inputs
    if not isinstance(layer, BatchNormalization | ReLU) or len(graph.consumers(inputs[0])) > 1:
        return False
    before = graph[inputs[0]].layer
    if isinstance(before, _CONVOLUTIONS) or (isinstance(layer, ReLU) and isinstance(before, Add)):
        return True
    return isinstance(before, BatchNormalization) and _is_folded(graph, inputs[0])


@lru_cache(maxsize=65536)
def layer_features(layer: Layer, output: Shape, *inputs: Shape) -> np.ndarray:
    """Return what a layer does, from the shapes of its output and its inputs."""
    done = _of_layer(layer, output, *inputs)
    vector = np.array([done.get(name, 0) for name in FEATURES], float)
    vector.flags.writeable = False
    return vector


def _values(output: Shape, inputs: tuple[Shape, ...]) -> int:
    return prod(output) + sum(map(prod, inputs))


@singledispatch
def _of_layer(layer: Layer, output: Shape, *inputs: Shape) -> dict[str, float]:
    return {"other_layers": 1, "other_values": _values(output, inputs)}


@_of_layer.register(Input)
@_of_layer.register(Flatten)
@_of_layer.register(Reshape)
@_of_layer.register(Dropout)
def _(layer: Layer, output: Shape, *inputs: Shape) -> dict[str, float]:
    return {}


@_of_layer.register
def _(layer: Conv2D, output: Shape, *inputs: Shape) -> dict[str, float]:
    multiply_adds = layer_multiply_adds(layer, output, *inputs)
    done = {
        "convolutions": 1,
        "convolution_values": _values(output, inputs),
        "kernel_values": prod(layer.weight_shapes(*inputs)["kernel"]),
    }
    if layer.kernel_size == (1, 1):
        return {**done, "pointwise_multiply_adds": multiply_adds}
    patch = prod(layer.kernel_size) * inputs[0][-1]
    patches = prod(output[:-1]) * patch
    return {**done, "window_multiply_adds": multiply_adds, "patch_values": patches}


@_of_layer.register(SeparableConv2D)
@_of_layer.register(DepthwiseConv2D)
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


@_of_layer.register
def _(layer: Dense, output: Shape, *inputs: Shape) -> dict[str, float]:
    return {
        "other_layers": 1,
        "pointwise_multiply_adds": layer_multiply_adds(layer, output, *inputs),
        "kernel_values": prod(layer.weight_shapes(*inputs)["kernel"]),
    }


@_of_layer.register
def _(layer: BatchNormalization, output: Shape, *inputs: Shape) -> dict[str, float]:
    return {"normalizations": 1, "normalization_values": _values(output, inputs)}


@_of_layer.register
def _(layer: Pooling2D, output: Shape, *inputs: Shape) -> dict[str, float]:
    return {"other_layers": 1, "pooling_values": prod(output) * prod(layer.pool_size)}


@_of_layer.register
def _(layer: Activation, output: Shape, *inputs: Shape) -> dict[str, float]:
    if layer.activation == "linear":
        return {}
    return {"other_layers": 1, "other_values": _values(output, inputs)}


_ONE_PASS = tuple(float(name == "passes") for name in FEATURES)
