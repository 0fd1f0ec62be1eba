"""Increase the filters of a convolution: a network morphism (section 3.1, item 2).

Equation 6 (type II, see `morphisms`). With h the convolution and what follows it up to its readers,
and h~ the new filters, the readers A become (A A~) with A~ = 0:

    (A A~) (h(x), h~(x)) = A h(x)

The new filters are random (h~ is arbitrary), their readers zero: one side only, so the readers
move in the first step of training and the filters from the second.

Alternatively, Net2WiderNet: the new filters are copies of old ones, and the readers' weights are
shared out between the copies; in unequal shares, because equal ones would leave the copies equal
for ever.

The paper leaves the factor open. Every generation starts from the largest networks of the last,
and the density favours the extremes: with {2, 4}, a search on digits came to 479 million parameters
in its second generation, where the paper's stays between 10,000 and 10,000,000 for a hundred. So
the factors are those that undo the paper's pruning, which removes 1/4 or 1/2 of the filters:
{4/3, 2}. Others can be had, as in `WidenConvolution(factors=(2, 4))`.

If the filters are tied to those of other convolutions by sums or products, all grow. Grouped
convolutions grow by a filter in each group: a factor that comes to less than that is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import ABSORBERS, ChannelChange
from lemonade_tf.architecture.channel_groups import FRESH, channel_groups
from lemonade_tf.architecture.layers import BatchNormalization, Conv2D, SeparableConv2D
from lemonade_tf.operators.base import Change, MeasureStatistics, Operator, in_order
from lemonade_tf.operators.initial import glorot_uniform
from lemonade_tf.operators.morphisms import append_channels

FACTORS = (4 / 3, 2)


@dataclass(frozen=True)
class WidenSite:
    """The convolution `node`, to `factor` times as many filters, rounded."""

    node: str
    factor: float


def changeable_convolutions(graph: Graph) -> Iterator[str]:
    """Yield the convolutions whose number of filters can change, in order."""
    groups = channel_groups(graph)
    for name in graph.topological_order():
        is_convolution = isinstance(graph[name].layer, Conv2D | SeparableConv2D)
        if is_convolution and groups.why_fixed(groups.groups_of(name)) is None:
            yield name


def why_unchangeable(graph: Graph, name: str) -> str | None:
    """Return why the number of filters of a node cannot change; None if it can."""
    groups, kind = channel_groups(graph), type(graph[name].layer).__name__
    own = groups.groups_of(name)
    producers = [
        n
        for n in graph.topological_order()
        if isinstance(graph[n].layer, ABSORBERS) and not set(own).isdisjoint(groups.groups_of(n))
    ]
    others = ", ".join(n for n in producers if n != name)
    if not isinstance(graph[name].layer, Conv2D | SeparableConv2D):
        origin = f"; its channels are those of {others}" if others else ""
        return f"{name!r} is a {kind}, not a convolution with filters of its own{origin}"
    why = groups.why_fixed(own)
    if why is None:
        return None
    tied = f" (tied to it: {others})" if others else ""
    return f"the channels of {name!r} cannot change: of what they are tied to, {why}{tied}"


@dataclass(frozen=True)
class WidenConvolution(Operator):
    """Multiply the filters of a convolution.

    Args:
        split: Whether new filters are copies of old ones (Net2WiderNet) rather than random ones
            that are read with weight zero.
        factors: By how much.
    """

    split: bool = False
    factors: tuple[float, ...] = FACTORS
    name = "widen_convolution"
    exact = True
    site = WidenSite

    def _sites(self, graph: Graph) -> Iterator[WidenSite]:
        groups = channel_groups(graph)
        for name in changeable_convolutions(graph):
            sizes = [groups.sizes[g] for g in groups.groups_of(name)]
            for factor in self.factors:
                if any(round(factor * size) > size for size in sizes):
                    yield WidenSite(name, factor)

    def _why_not(self, graph: Graph, site: WidenSite) -> str:
        why = why_unchangeable(graph, site.node)
        if why is not None:
            return why
        if site.factor not in self.factors:
            expected = ", ".join(map(str, self.factors))
            return f"the factor is {site.factor}; expected one of {expected}"
        filters, step = graph.shapes()[site.node][-1], _step(graph, site.node)
        return (
            f"{site.factor:g} times the {filters} filters of {site.node!r} is nearest to {filters}"
            f" again: they come in steps of {step}, so {filters + step} is the next number"
        )

    def _apply(self, graph: Graph, site: WidenSite, rng: np.random.Generator) -> Change:
        groups = channel_groups(graph)
        added = {g: num_added(groups.sizes[g], site.factor) for g in groups.groups_of(site.node)}
        return self.widen(graph, added, rng)

    def widen(self, graph: Graph, added: Mapping[int, int], rng: np.random.Generator) -> Change:
        """Add channels to groups, in place: for each group, how many."""
        sizes, sources = channel_groups(graph).sizes, {}
        for group, extra in added.items():
            size = sizes[group]
            new = np.arange(extra) % size if self.split else np.full(extra, FRESH)
            sources[group] = np.append(np.arange(size), new)
        change = append_channels(graph, sources, lambda _, shape: glorot_uniform(shape, rng))
        return Change(
            graph,
            affected=changed_nodes(graph, change),
            repairs=fresh_statistics(graph, change),
            sources=change.sources,
        )


def _step(graph: Graph, name: str) -> int:
    """Return the least number of filters that a convolution can grow by."""
    steps = Counter()
    for run in channel_groups(graph).runs[name]:
        steps[run.group] += run.repeat
    return min(steps.values())


def num_added(size: int, factor: float) -> int:
    """Return how many channels make `factor` times `size` of them, rounded; at least one."""
    return max(1, round(factor * size) - size)


def changed_nodes(graph: Graph, change: ChannelChange) -> tuple[str, ...]:
    """Return the nodes with weights that a change of channels changed, in order."""
    return in_order(graph, {*change.producers, *change.carriers, *change.absorbers})


def fresh_statistics(graph: Graph, change: ChannelChange) -> tuple[MeasureStatistics, ...]:
    """Return the repairs of batch norms that got fresh channels, in order."""
    repairs = []
    for name in in_order(graph, change.carriers):
        fresh = np.flatnonzero(change.sources[name] == FRESH)
        if len(fresh) and isinstance(graph[name].layer, BatchNormalization):
            repairs.append(MeasureStatistics(name, tuple(map(int, fresh))))
    return tuple(repairs)
