"""The memory that a network needs at inference: the peak of its live activations.

The layers run one after the other, in topological order. A tensor, the image and the output
included, is live from when its layer computes it until its last consumer has run; so a skip
connection costs the memory of the tensor that it keeps. Intermediate tensors of a layer are live
while it runs: the output of the depthwise half of a separable convolution, and the two scaled
inputs of a convex sum in the saved model. Nothing is computed in place and nothing is fused.

Weights are not included: they take an additional `4 * count_parameters(graph)` bytes.
"""

from __future__ import annotations

from functools import singledispatch
from math import prod

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import ConvexSum, Layer, SeparableConv2D, Shape

BYTES = 4  # per float32


def peak_memory(graph: Graph) -> int:
    """Return the largest number of bytes of activations that are live at a time, for one image."""
    return graph.cached("peak_memory", _peak_memory)


def _peak_memory(graph: Graph) -> int:
    shapes, order = graph.shapes(), graph.topological_order()
    last_consumer = {source: name for name in order for source in graph[name].inputs}
    live = peak = 0
    for name in order:
        node = graph[name]
        inputs = [shapes[source] for source in node.inputs]
        live += prod(shapes[name])
        peak = max(peak, live + _intermediate_values(node.layer, shapes[name], *inputs))
        for source in dict.fromkeys(node.inputs):
            if last_consumer[source] == name and source != graph.output:
                live -= prod(shapes[source])
    return BYTES * peak


@singledispatch
def _intermediate_values(layer: Layer, output: Shape, *inputs: Shape) -> int:
    """Return how many intermediate values a layer computes, besides its output."""
    return 0


@_intermediate_values.register
def _(layer: SeparableConv2D, output: Shape, *inputs: Shape) -> int:
    return prod(output[:-1]) * inputs[0][-1] * layer.depth_multiplier


@_intermediate_values.register
def _(layer: ConvexSum, output: Shape, *inputs: Shape) -> int:
    return 2 * prod(output)
