"""Add a skip connection: a network morphism (section 3.1, item 3).

From the output y of an earlier block to the output x of a later one, in one of two ways:

- by concatenation (equation 6): the consumers of x take (x, y) as input, with zero weights for y;
- by a convex sum (equation 8): the consumers of x take (1 - lambda) x + lambda h(y), lambda = 0

(see `morphisms`).

A block ends in a ReLU (in imported networks, or another activation). A skip starts there, or at the
end of an earlier skip, and ends at such a node. A concatenation applies only where every path from
x reaches a convolution or dense layer before a sum or the output. Where y is larger than x, it is
max-pooled (as between the blocks of the initial networks); where a sum needs another number of
channels, h is a 1x1 convolution, randomly initialized: equation 8 allows any h, and lambda = 0 is
the only zero. The kind of skip is drawn with the site: the paper names both and prefers neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import can_append_channels
from lemonade_tf.architecture.layer_lists import kind_name
from lemonade_tf.architecture.layers import (
    AveragePooling2D,
    Conv2D,
    ConvexSum,
    MaxPooling2D,
    Shape,
)
from lemonade_tf.operators.affected import changed_nodes, fresh_statistics_repairs
from lemonade_tf.operators.base import Operator
from lemonade_tf.operators.blocks import (
    SKIP_MERGES,
    ends_block_or_skip,
    is_activation,
    is_projection,
)
from lemonade_tf.operators.change import Change, topological_order
from lemonade_tf.operators.initial import glorot_uniform
from lemonade_tf.operators.morphisms import append_input, blend

CONCATENATE, CONVEX_SUM = "concatenate", "convex_sum"
KINDS = (CONCATENATE, CONVEX_SUM)


@dataclass(frozen=True)
class SkipSite:
    """Where a skip starts and ends, and how it is merged.

    Attributes:
        source: The node where it starts.
        target: The node whose consumers it reaches.
        kind: "concatenate" or "convex_sum".
    """

    source: str
    target: str
    kind: str


class AddSkip(Operator):
    """Add a skip connection by concatenation or by convex sum."""

    name = "add_skip"
    exact = True
    site = SkipSite

    def _sites(self, graph: Graph) -> Iterator[SkipSite]:
        order = graph.topological_order()
        targets = [n for n in order if is_activation(graph[n].layer)]
        sources = [n for n in order if ends_block_or_skip(graph[n].layer)]
        return skip_sites(graph, sources, targets)

    def _refusal(self, graph: Graph, site: SkipSite) -> str | None:
        source, target, kind = site.source, site.target, site.kind
        shapes = graph.shapes()
        if kind not in KINDS:
            return f"the kind is {kind!r}; expected {CONCATENATE!r} or {CONVEX_SUM!r}"
        for name, is_end in ((source, ends_block_or_skip), (target, is_activation)):
            layer = graph[name].layer
            if not is_end(layer):
                return (
                    f"{name!r} ({kind_name(layer)}) is not an elementwise activation; skips"
                    " connect those"
                )
            if len(shapes[name]) != 3:
                return f"{name!r} outputs shape {shapes[name]}, not images"
        if target in graph.outputs:
            return f"{target!r} is the output"
        if source not in graph.ancestors(target):
            return f"{target!r} does not depend on {source!r}, where the skip would start"
        if resampling(shapes[source], shapes[target]) is None:
            return (
                f"no pooling reduces the {shapes[source][:2]} of {source!r} to the"
                f" {shapes[target][:2]} of {target!r}"
            )
        if site in skips(graph):
            return "this skip exists already"
        if kind == CONCATENATE and not can_append_channels(graph, target):
            return (
                f"channels cannot be appended to {target!r}, because a sum, a product, a grouped"
                f" convolution or the output consumes it; kind={CONVEX_SUM!r} is possible there"
            )
        return None

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
            project: Whether a sum gets a 1x1 convolution even where the numbers of channels agree.
        """
        skip, added = site.source, []
        shapes = graph.shapes()
        for layer in resampling(shapes[site.source], shapes[site.target]) or ():
            skip = graph.add(graph.unique_name("skip_pool"), layer, [skip])
            added.append(skip)
        if site.kind == CONCATENATE:
            merge, change = append_input(graph, site.target, skip)
            affected = topological_order(graph, {*added, merge, *changed_nodes(graph, change)})
            repairs = fresh_statistics_repairs(graph, change)
            return Change(graph, affected, repairs, change.sources)
        # A sum requires the channels of the target: a 1x1 convolution converts them.
        channels, width = graph.shapes()[skip][-1], shapes[site.target][-1]
        if project or channels != width:
            shape = (1, 1, channels, width)
            weights = {"kernel": glorot_uniform(shape, rng)} if graph.has_weights else {}
            skip = graph.add(graph.unique_name("skip_conv"), Conv2D(width, (1, 1)), [skip], weights)
            added.append(skip)
        return Change(graph, affected=(*added, blend(graph, site.target, skip)))


def skip_sites(graph: Graph, sources: Sequence[str], targets: Iterable[str]) -> Iterator[SkipSite]:
    """Yield a site of each kind for each target and each source that it depends on."""
    for target in targets:
        before = graph.ancestors(target)
        for source in sources:
            if source in before:
                for kind in KINDS:
                    yield SkipSite(source, target, kind)


def resampling(source: Shape, target: Shape) -> tuple[MaxPooling2D, ...] | None:
    """Return the layers that bring images of one resolution to another.

    An empty tuple where the resolutions agree; None where no single pooling achieves it.
    """
    return () if source[:2] == target[:2] else _pooling(source[:2], target[:2])


@lru_cache(maxsize=4096)
def _pooling(source: Shape, target: Shape) -> tuple[MaxPooling2D] | None:
    # With "valid" padding, 9 pixels become 4 at stride 2; with "same", 5. The stride is the ratio
    # of the sizes, rounded down or up; which of the four fits is found by trying them.
    down = source[0] // target[0], source[1] // target[1]
    up = -(-source[0] // target[0]), -(-source[1] // target[1])
    for strides in (down, up):
        for padding in ("valid", "same"):
            if min(strides) >= 1:
                layer = MaxPooling2D(strides, padding=padding)
                if layer.output_shape((*source, 1))[:2] == target:
                    return (layer,)
    return None


def skips(graph: Graph) -> Collection[SkipSite]:
    """Return the skips that a graph has, as the sites that made them."""
    return graph.cached("skips", lambda g: frozenset(_skips(g)))


def _skips(graph: Graph) -> Iterator[SkipSite]:
    for _, node in graph.items():
        if isinstance(node.layer, SKIP_MERGES) and len(node.inputs) == 2:
            target, source = node.inputs
            # Several skips to one target are merged one after the other: go back to the target.
            while isinstance(graph[target].layer, SKIP_MERGES):
                target = graph[target].inputs[0]
            while _belongs_to_skip(graph, source):
                source = graph[source].inputs[0]
            kind = CONVEX_SUM if isinstance(node.layer, ConvexSum) else CONCATENATE
            yield SkipSite(source, target, kind)


def _belongs_to_skip(graph: Graph, name: str) -> bool:
    """Return whether a node is the pooling or the 1x1 convolution of a skip."""
    layer = graph[name].layer
    return isinstance(layer, MaxPooling2D | AveragePooling2D) or is_projection(layer)
