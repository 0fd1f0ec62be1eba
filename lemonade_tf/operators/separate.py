"""Replace a convolution by a depthwise-separable one: an approximate network morphism
(section 3.2, item iii).

The factors start as the best ones in the least-squares sense: for each input channel the first
singular vectors of its part of the kernel (see `kernels`). The new convolution has depth
multiplier 1. Sites are those where parameters become fewer; a 1x1 convolution would only grow.

Affected, and so distilled: the convolution and the batch norm behind it. The convolution wants to
be fitted: with training images at hand, the factors are the best for what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import layer_parameters
from lemonade_tf.architecture.layers import Conv2D, SeparableConv2D
from lemonade_tf.operators.base import Change, Operator, in_order
from lemonade_tf.operators.kernels import full_kernel, separate
from lemonade_tf.operators.remove import fits_of, normalizations_of, statistics_of


@dataclass(frozen=True)
class SeparateSite:
    """The convolution `node`."""

    node: str


class SeparateConvolution(Operator):
    """Replace a convolution by a depthwise-separable one."""

    name = "separate_convolution"
    exact = False
    site = SeparateSite

    def _sites(self, graph: Graph) -> Iterator[SeparateSite]:
        for name in graph.topological_order():
            layer = graph[name].layer
            if isinstance(layer, Conv2D):
                shapes = graph.input_shapes(name)
                if layer_parameters(separable(layer), *shapes) < layer_parameters(layer, *shapes):
                    yield SeparateSite(name)

    def _why_not(self, graph: Graph, site: SeparateSite) -> str:
        layer, shapes = graph[site.node].layer, graph.input_shapes(site.node)
        if not isinstance(layer, Conv2D):
            return f"{site.node!r} is a {type(layer).__name__}, not a Conv2D"
        return (
            f"{site.node!r} has {layer_parameters(layer, *shapes):,} parameters, and a separable"
            f" convolution in its place would have {layer_parameters(separable(layer), *shapes):,}"
        )

    def _apply(self, graph: Graph, site: SeparateSite, rng: np.random.Generator) -> Change:
        node = graph[site.node]
        weights = dict(node.weights)
        if weights:
            weights |= separate(full_kernel(node.layer, weights))
            del weights["kernel"]
        graph.set_layer(site.node, separable(node.layer), weights)
        affected = in_order(graph, {site.node, *normalizations_of(graph, site.node)})
        repairs = (*fits_of(graph, affected), *statistics_of(graph, affected))
        return Change(graph, affected, repairs)


@lru_cache(maxsize=4096)
def separable(layer: Conv2D) -> SeparableConv2D:
    """Return the separable convolution in place of a convolution."""
    return SeparableConv2D(
        layer.filters,
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        use_bias=layer.use_bias,
    )
