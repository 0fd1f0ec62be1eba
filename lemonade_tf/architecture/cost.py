"""The cost of a network, counted on its graph: parameters and multiply-adds.

Parameters are counted as by `count_params()` on the saved Keras model: all weights, the moving
statistics of batch normalization included, but not the lambda of a convex sum, which is folded into
Rescaling layers. The paper counts in the same way: the MobileNets of its Table 2 have 40K, 221K,
834K and 3.2M parameters; Keras's models of the same widths have 40,911, 221,114, 834,666 and
3,239,114.

Multiply-adds are counted per image: one for each multiplication of a weight with an activation in
convolutions and dense layers. Biases, batch normalization (which can be folded into the preceding
convolution), activations, pooling, sums and products are not counted, as in the MobileNet papers.
What an opaque layer of an imported model multiplies is unknown and not counted either;
`uncounted_layers` names these layers.
"""

from __future__ import annotations

from functools import lru_cache, singledispatch
from math import prod

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import (
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Layer,
    SeparableConv2D,
    Shape,
)
from lemonade_tf.architecture.opaque import Opaque, Pointwise


def count_parameters(graph: Graph) -> int:
    """Return the number of parameters of the saved model, moving statistics included."""
    return graph.cached("parameters", _count_parameters)


def _count_parameters(graph: Graph) -> int:
    shapes, repeated = graph.shapes(), repeated_calls(graph)
    return sum(
        layer_parameters(node.layer, *[shapes[i] for i in node.inputs])
        for name, node in graph.items()
        if name not in repeated
    )


def repeated_calls(graph: Graph) -> frozenset[str]:
    """Return the nodes of all calls of layers but the first ones, which add no parameters."""
    return frozenset(name for calls in graph.calls().values() for name in calls[1:])


@lru_cache(maxsize=65536)
def layer_parameters(layer: Layer, *inputs: Shape) -> int:
    """Return the number of parameters of a layer with inputs of these shapes."""
    return layer.num_parameters(*inputs)


def count_multiply_adds(graph: Graph) -> int:
    """Return the number of multiply-adds of one forward pass on one image."""
    return graph.cached("multiply_adds", _count_multiply_adds)


def _count_multiply_adds(graph: Graph) -> int:
    shapes = graph.shapes()
    return sum(
        layer_multiply_adds(node.layer, shapes[name], *[shapes[i] for i in node.inputs])
        for name, node in graph.items()
    )


def uncounted_layers(graph: Graph) -> tuple[str, ...]:
    """Return the names of the opaque nodes whose multiply-adds are unknown and count as 0."""
    return tuple(
        name
        for name, node in graph.items()
        if isinstance(node.layer, Opaque) and not isinstance(node.layer, Pointwise)
    )


@lru_cache(maxsize=65536)
def layer_multiply_adds(layer: Layer, output: Shape, *inputs: Shape) -> int:
    """Return the number of multiply-adds of a layer from its output and input shapes."""
    return _multiply_adds(layer, output, *inputs)


@singledispatch
def _multiply_adds(layer: Layer, output: Shape, *inputs: Shape) -> int:
    return 0


@_multiply_adds.register
def _(layer: Conv2D, output: Shape, *inputs: Shape) -> int:
    return prod(layer.kernel_size) * inputs[0][-1] // layer.groups * prod(output)


@_multiply_adds.register
def _(layer: Conv2DTranspose, output: Shape, *inputs: Shape) -> int:
    return prod(layer.kernel_size) * layer.filters * prod(inputs[0])


@_multiply_adds.register
def _(layer: DepthwiseConv2D, output: Shape, *inputs: Shape) -> int:
    return prod(layer.kernel_size) * prod(output)


@_multiply_adds.register
def _(layer: SeparableConv2D, output: Shape, *inputs: Shape) -> int:
    channels = inputs[0][-1] * layer.depth_multiplier
    positions = prod(output[:-1])
    return positions * channels * (prod(layer.kernel_size) + layer.filters)


@_multiply_adds.register
def _(layer: Dense, output: Shape, *inputs: Shape) -> int:
    return inputs[0][-1] * prod(output)
