"""Replace a convolution by a depthwise-separable one: an approximate network morphism
(section 3.2, item iii).

The factors start as the best ones in the least-squares sense: for each input channel, the first
singular vectors of its part of the kernel (see `kernels`). The new convolution has depth
multiplier 1. The operator applies where it lowers the number of parameters, so never to a 1x1
convolution, which would only grow.

Affected, and therefore distilled: the convolution and the batch norm after it. With training
images at hand, the convolution is fitted: the factors become the best ones for its input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import layer_parameters
from lemonade_tf.architecture.layer_lists import kind_name
from lemonade_tf.architecture.layers import Conv2D, SeparableConv2D
from lemonade_tf.operators.affected import fit_repairs, normalizations_after, statistics_repairs
from lemonade_tf.operators.base import Operator
from lemonade_tf.operators.change import Change, topological_order
from lemonade_tf.operators.kernels import full_kernel, separate


@dataclass(frozen=True)
class SeparateSite:
    """The convolution to replace.

    Attributes:
        node: A Conv2D.
    """

    node: str


class SeparateConvolution(Operator):
    """Replace a convolution by a depthwise-separable one."""

    name = "separate_convolution"
    exact = False
    site = SeparateSite

    def _sites(self, graph: Graph) -> Iterator[SeparateSite]:
        return (
            SeparateSite(name)
            for name in graph.topological_order()
            if isinstance(graph[name].layer, Conv2D)
        )

    def _refusal(self, graph: Graph, site: SeparateSite) -> str | None:
        layer = graph[site.node].layer
        if not isinstance(layer, Conv2D):
            return f"{site.node!r} is a {kind_name(layer)}, not a Conv2D"
        shapes = graph.input_shapes(site.node)
        before = layer_parameters(layer, *shapes)
        after = layer_parameters(separable(layer), *shapes)
        if after < before:
            return None
        return (
            f"{site.node!r} has {before:,} parameters; a separable convolution in its place would"
            f" have {after:,}"
        )

    def _apply(self, graph: Graph, site: SeparateSite, rng: np.random.Generator) -> Change:
        node = graph[site.node]
        weights = dict(node.weights)
        if weights:
            weights |= separate(full_kernel(node.layer, weights))
            del weights["kernel"]
        graph.set_layer(site.node, separable(node.layer), weights)
        affected = topological_order(graph, {site.node, *normalizations_after(graph, site.node)})
        repairs = (*fit_repairs(graph, affected), *statistics_repairs(graph, affected))
        return Change(graph, affected, repairs)


@lru_cache(maxsize=4096)
def separable(layer: Conv2D) -> SeparableConv2D:
    """Return the separable convolution that replaces a convolution."""
    return SeparableConv2D(
        layer.filters,
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        use_bias=layer.use_bias,
        dilation_rate=layer.dilation_rate,
    )
