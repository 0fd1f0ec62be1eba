"""How much memory a network needs at inference: the peak of its live activations.

Its layers are run one after the other, in the order of the graph. A tensor is there from when its
layer puts it out until the last layer that reads it has run, the image and the output included; so
a skip costs what it holds back. A layer inside of which tensors come to be holds those too, while
it runs: a separable convolution what its depthwise half puts out, a convex sum its two parts, as in
the saved model. Nothing is done in place, and nothing fused.

Weights are not counted: they take `4 * count_parameters(graph)` bytes more.
"""

from __future__ import annotations

from functools import singledispatch
from math import prod

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import ConvexSum, Layer, SeparableConv2D, Shape

BYTES = 4  # of a float32


def peak_memory(graph: Graph) -> int:
    """Return the bytes of the activations of one image that are live at a time, at most."""
    return graph.cached("peak_memory", _peak_memory)


def _peak_memory(graph: Graph) -> int:
    shapes, order = graph.shapes(), graph.topological_order()
    last_reader = {source: name for name in order for source in graph[name].inputs}
    live = peak = 0
    for name in order:
        node = graph[name]
        inputs = [shapes[source] for source in node.inputs]
        live += prod(shapes[name])
        peak = max(peak, live + _values_inside(node.layer, shapes[name], *inputs))
        for source in dict.fromkeys(node.inputs):
            if last_reader[source] == name and source != graph.output:
                live -= prod(shapes[source])
    return BYTES * peak


@singledispatch
def _values_inside(layer: Layer, output: Shape, *inputs: Shape) -> int:
    """Return how many values come to be inside of a layer, beside its output."""
    return 0


@_values_inside.register
def _(layer: SeparableConv2D, output: Shape, *inputs: Shape) -> int:
    return prod(output[:-1]) * inputs[0][-1] * layer.depth_multiplier


@_values_inside.register
def _(layer: ConvexSum, output: Shape, *inputs: Shape) -> int:
    return 2 * prod(output)
