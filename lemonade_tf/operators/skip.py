"""Add a skip connection: a network morphism (section 3.1, item 3).

From the output y of an earlier block to the output x of a later one, in one of two ways:

- by concatenation (equation 6): the readers of x read (x, y), with zeros for y;
- by a convex sum (equation 8): the readers of x read (1 - lambda) x + lambda h(y), lambda = 0

(see `morphisms`).

A block ends in a ReLU (imported networks: or another activation); a skip begins there, or at an
earlier skip, and ends there.
A concatenation goes only where every path from x meets a convolution or dense layer before a sum
or the output. Where y is larger than x, it goes through max pooling (as between the blocks of the
initial networks); where a sum needs another number of channels, h is a 1x1 convolution, randomly
initialised: equation 8 allows any h, and lambda = 0 is the only zero. The kind of skip is drawn
with the site: the paper names both and gives no preference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import can_append_channels
from lemonade_tf.architecture.layers import (
    AveragePooling2D,
    Concatenate,
    Conv2D,
    ConvexSum,
    Layer,
    MaxPooling2D,
    Shape,
)
from lemonade_tf.operators.base import Change, Operator, in_order, is_activation
from lemonade_tf.operators.initial import glorot_uniform
from lemonade_tf.operators.morphisms import append_input, blend
from lemonade_tf.operators.widen import changed_nodes, fresh_statistics

CONCATENATE, CONVEX_SUM = "concatenate", "convex_sum"
_MERGES = (Concatenate, ConvexSum)


@dataclass(frozen=True)
class SkipSite:
    """From the output of `source` to that of `target`, by `kind`."""

    source: str
    target: str
    kind: str


class AddSkip(Operator):
    """Add a skip connection by concatenation or by convex sum."""

    name = "add_skip"
    exact = True
    site = SkipSite

    def _sites(self, graph: Graph) -> Iterator[SkipSite]:
        return self.sites_between(graph, _pairs(graph))

    def sites_between(self, graph: Graph, pairs: Iterable[tuple[str, str]]) -> Iterator[SkipSite]:
        """Yield the sites among pairs of a source and a target, ends of blocks or skips."""
        shapes, present = graph.shapes(), set(skips(graph))
        for source, target in pairs:
            if resampling(shapes[source], shapes[target]) is None:
                continue
            for kind in (CONCATENATE, CONVEX_SUM):
                site = SkipSite(source, target, kind)
                if site not in present and (
                    kind == CONVEX_SUM or can_append_channels(graph, target)
                ):
                    yield site

    def _why_not(self, graph: Graph, site: SkipSite) -> str:
        source, target, shapes = site.source, site.target, graph.shapes()
        if site.kind not in (CONCATENATE, CONVEX_SUM):
            return f"the kind is {site.kind!r}; expected {CONCATENATE!r} or {CONVEX_SUM!r}"
        for name in (source, target):
            layer = graph[name].layer
            if not (is_end(layer) if name == source else is_activation(layer)):
                kind = type(layer).__name__
                return f"{name!r} ({kind}) is no activation of single values; skips join those"
            if len(shapes[name]) != 3:
                return f"{name!r} puts out shape {shapes[name]}, not images"
        if target == graph.output:
            return f"{target!r} is the output"
        if source not in graph.ancestors(target):
            return f"{target!r} does not depend on {source!r}, where the skip should begin"
        if resampling(shapes[source], shapes[target]) is None:
            return (
                f"no pooling makes {shapes[target][:2]} of the {shapes[source][:2]} of {source!r}"
            )
        if site in set(skips(graph)):
            return "there is this skip already"
        return (
            f"a sum, a product, a grouped convolution or the output reads {target!r}, and cannot be"
            f" given further channels; kind={CONVEX_SUM!r} can go there"
        )

    def _apply(self, graph: Graph, site: SkipSite, rng: np.random.Generator) -> Change:
        return self.add_skip(graph, site, rng)

    def add_skip(
        self, graph: Graph, site: SkipSite, rng: np.random.Generator, *, project: bool = False
    ) -> Change:
        """Add a skip, in place.

        Args:
            graph: The graph to edit.
            site: Where.
            rng: Draws the weights of the 1x1 convolution.
            project: Whether a sum gets one even where the numbers of channels are the same.
        """
        skip, made = site.source, []
        shapes = graph.shapes()
        for layer in resampling(shapes[site.source], shapes[site.target]) or ():
            skip = graph.add(graph.unique_name("skip_pool"), layer, [skip])
            made.append(skip)
        if site.kind == CONCATENATE:
            return _concatenate(graph, site.target, skip, made)
        return _convex_sum(graph, site.target, skip, made, rng, project)


def _pairs(graph: Graph) -> Iterator[tuple[str, str]]:
    """Yield the ends that a skip could join, by their targets, both in the order of the graph."""
    shapes = graph.shapes()
    ends = [n for n in graph.topological_order() if len(shapes[n]) == 3 and is_end(graph[n].layer)]
    for target in ends:
        if is_activation(graph[target].layer) and target != graph.output:
            before = graph.ancestors(target)
            yield from ((source, target) for source in ends if source in before)


def is_end(layer: Layer) -> bool:
    """Return whether a skip may begin at a layer: at the end of a block, or of a skip."""
    return isinstance(layer, _MERGES) or is_activation(layer)


def _concatenate(graph: Graph, target: str, skip: str, made: list[str]) -> Change:
    merge, change = append_input(graph, target, skip)
    affected = in_order(graph, {*made, merge, *changed_nodes(graph, change)})
    return Change(graph, affected, fresh_statistics(graph, change), change.sources)


def _convex_sum(
    graph: Graph,
    target: str,
    skip: str,
    made: list[str],
    rng: np.random.Generator,
    project: bool,
) -> Change:
    shapes = graph.shapes()
    width = shapes[target][-1]
    if project or shapes[skip][-1] != width:
        shape = (1, 1, shapes[skip][-1], width)
        weights = {"kernel": glorot_uniform(shape, rng)} if graph.has_weights else {}
        skip = graph.add(graph.unique_name("skip_conv"), Conv2D(width, 1), [skip], weights)
        made.append(skip)
    return Change(graph, affected=(*made, blend(graph, target, skip)))


def resampling(source: Shape, target: Shape) -> tuple[MaxPooling2D, ...] | None:
    """Return the layers that bring images of one resolution to another.

    An empty tuple where the resolutions are the same; None where no single pooling does it.
    """
    return () if source[:2] == target[:2] else _pooling(source[:2], target[:2])


@lru_cache(maxsize=4096)
def _pooling(source: Shape, target: Shape) -> tuple[MaxPooling2D] | None:
    down = tuple(a // b for a, b in zip(source, target, strict=True))
    up = tuple(-(-a // b) for a, b in zip(source, target, strict=True))
    for strides in (down, up):
        for padding in ("valid", "same"):
            if min(strides) >= 1:
                layer = MaxPooling2D(strides, padding=padding)
                if layer.output_shape((*source, 1))[:2] == target:
                    return (layer,)
    return None


def skips(graph: Graph) -> Iterator[SkipSite]:
    """Yield the skips that a graph has, as the sites that made them."""
    for _, node in graph.items():
        if isinstance(node.layer, _MERGES) and len(node.inputs) == 2:
            target, source = node.inputs
            while isinstance(graph[target].layer, _MERGES):
                target = graph[target].inputs[0]
            while _on_the_way(graph, source):
                source = graph[source].inputs[0]
            kind = CONVEX_SUM if isinstance(node.layer, ConvexSum) else CONCATENATE
            yield SkipSite(source, target, kind)


def _on_the_way(graph: Graph, name: str) -> bool:
    """Return whether a node belongs to a skip: its pooling, or its 1x1 convolution."""
    layer = graph[name].layer
    return isinstance(layer, MaxPooling2D | AveragePooling2D) or is_projection(layer)


def is_projection(layer: Layer) -> bool:
    """Return whether a layer is the 1x1 convolution of a skip, which no block begins with.

    None of them becomes a separable convolution, which would have more parameters.
    """
    return isinstance(layer, Conv2D) and layer.kernel_size == (1, 1)
