"""Increase the filters of a convolution: a network morphism (section 3.1, item 2).

Equation 6 (type II, see `morphisms`). With h the convolution and the layers up to its consumers,
and h~ the new filters, the consumers' weights A become (A A~) with A~ = 0:

    (A A~) (h(x), h~(x)) = A h(x)

The new filters are random (h~ is arbitrary) and the weights of their consumers zero. Only one side
is zero, so the consumers move in the first step of training and the filters from the second.

Alternatively, Net2WiderNet: the new filters are copies of old ones, and the consumers' weights are
split among the copies, in unequal shares, because equal ones would keep the copies equal
throughout training.

The paper leaves the factor open. Every generation starts from the largest networks of the last,
and the density favors the extremes: with {2, 4}, a search on digits reached 479 million parameters
in its second generation, where the paper's stays between 10,000 and 10,000,000 for a hundred. So
the factors are those that undo the paper's pruning, which removes 1/4 or 1/2 of the filters:
{4/3, 2}. Other factors are an argument, as in `WidenConvolution(factors=(2, 4))`.

Filters that sums or products tie to those of other convolutions grow together. A grouped
convolution grows by one filter per group at least; a factor that amounts to less does not apply.
With a `multiple`, each group of channels grows to the next multiple of it (see `filters`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_groups import FRESH, channel_groups
from lemonade_tf.operators.affected import changed_nodes, fresh_statistics_repairs
from lemonade_tf.operators.base import Operator
from lemonade_tf.operators.change import Change
from lemonade_tf.operators.filters import all_filters, growth_refusal, multiple_refusal
from lemonade_tf.operators.initial import glorot_uniform
from lemonade_tf.operators.morphisms import append_channels

FACTORS = (4 / 3, 2)


@dataclass(frozen=True)
class WidenSite:
    """The convolution to widen, and how much.

    Attributes:
        node: A Conv2D or SeparableConv2D.
        factor: The new number of filters over the old one, before rounding.
        multiple: The new number is a multiple of it.
    """

    node: str
    factor: float
    multiple: int = 1


@dataclass(frozen=True)
class WidenConvolution(Operator):
    """Multiply the filters of a convolution.

    Attributes:
        split: Whether new filters are copies of old ones (Net2WiderNet) rather than random ones
            whose consumers have zero weights.
        factors: The factors to choose from.
        multiple: What the new numbers of filters are multiples of.
    """

    split: bool = False
    factors: tuple[float, ...] = FACTORS
    multiple: int = 1
    name = "widen_convolution"
    exact = True
    site = WidenSite

    def with_width_multiple(self, multiple: int) -> WidenConvolution:
        return replace(self, multiple=multiple)

    def _sites(self, graph: Graph) -> Iterator[WidenSite]:
        names = all_filters(graph)
        return (WidenSite(n, f, self.multiple) for n in names for f in self.factors)

    def _refusal(self, graph: Graph, site: WidenSite) -> str | None:
        reason = growth_refusal(graph, site.node)
        if reason is not None:
            return reason
        if site.factor not in self.factors:
            expected = ", ".join(map(str, self.factors))
            return f"the factor is {site.factor}; expected one of {expected}"
        sizes = all_filters(graph)[site.node].sizes
        if site.multiple != 1:
            return multiple_refusal(graph, sizes, site.multiple)
        for size in sizes.values():
            if round(site.factor * size) > size:
                return None
        filters, step = graph.shapes()[site.node][-1], _step(graph, site.node)
        return (
            f"{site.factor:g} times the {filters} filters of {site.node!r} rounds to {filters};"
            f" they grow in steps of {step}, so the next possible number is {filters + step}"
        )

    def _apply(self, graph: Graph, site: WidenSite, rng: np.random.Generator) -> Change:
        sizes = all_filters(graph)[site.node].sizes
        added = {g: num_added(size, site.factor, site.multiple) for g, size in sizes.items()}
        return self.widen(graph, added, rng)

    def widen(self, graph: Graph, added: Mapping[int, int], rng: np.random.Generator) -> Change:
        """Add channels to groups, in place.

        Args:
            graph: The graph to edit.
            added: The number of channels to add to each group.
            rng: Draws the weights of random filters.
        """
        sizes, sources = channel_groups(graph).sizes, {}
        for group, extra in added.items():
            size = sizes[group]
            # Copies take turns, so that no channel has two copies more than another.
            new = np.arange(extra) % size if self.split else np.full(extra, FRESH)
            sources[group] = np.append(np.arange(size), new)
        change = append_channels(graph, sources, lambda _, shape: glorot_uniform(shape, rng))
        return Change(
            graph,
            affected=changed_nodes(graph, change),
            repairs=fresh_statistics_repairs(graph, change),
            sources=change.sources,
        )


def num_added(size: int, factor: float, multiple: int = 1) -> int:
    """Return how many channels bring `size` of them to `factor` times as many; at least one.

    Args:
        size: The number of channels.
        factor: The new number over the old one.
        multiple: What the new number is rounded up to a multiple of.
    """
    wider = max(size + 1, round(factor * size))
    return -(-wider // multiple) * multiple - size


def _step(graph: Graph, name: str) -> int:
    """Return the smallest number of filters by which a convolution can grow."""
    steps = Counter()
    for run in channel_groups(graph).runs[name]:
        steps[run.group] += run.repeat
    return min(steps.values())
