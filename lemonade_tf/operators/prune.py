"""Prune filters of a convolution: an approximate network morphism (section 3.2, item ii).

Of each group of channels in the convolution's output, 1/2 or 1/4 is removed, with the weights that
its consumers have for them. The filters with the smallest sums of absolute weights go (Li et al.,
2017, "Pruning filters for efficient convnets"), summed over all convolutions whose filters are tied
by sums or products; the paper does not say how its authors choose. How many stay follows from the
shapes alone.

Affected, and therefore distilled: the pruned convolutions, the batch norms on them, their consumers
and the batch norms after those (A.1). The consumers are fitted to compensate for what was pruned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import ABSORBERS, change_channels
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.layers import SeparableConv2D
from lemonade_tf.operators.affected import (
    changed_nodes,
    fit_repairs,
    normalizations_after,
    statistics_repairs,
)
from lemonade_tf.operators.base import Operator
from lemonade_tf.operators.change import Change, topological_order
from lemonade_tf.operators.filters import all_filters, filters_refusal

FRACTIONS = ("1/2", "1/4")


@dataclass(frozen=True)
class PruneSite:
    """The convolution to prune, and how much.

    Attributes:
        node: A Conv2D or SeparableConv2D.
        fraction: The fraction of its filters to remove, as text ("1/2").
    """

    node: str
    fraction: str


@dataclass(frozen=True)
class PruneFilters(Operator):
    """Remove a fraction of the filters of a convolution.

    Attributes:
        fractions: The fractions to choose from, as text.
    """

    fractions: tuple[str, ...] = FRACTIONS
    name = "prune_filters"
    exact = False
    site = PruneSite

    def _sites(self, graph: Graph) -> Iterator[PruneSite]:
        return (PruneSite(name, f) for name in all_filters(graph) for f in self.fractions)

    def _refusal(self, graph: Graph, site: PruneSite) -> str | None:
        reason = filters_refusal(graph, site.node)
        if reason is not None:
            return reason
        if site.fraction not in self.fractions:
            return f"the fraction is {site.fraction}; expected one of {', '.join(self.fractions)}"
        sizes = all_filters(graph)[site.node].sizes.values()
        for size in sizes:
            if num_removed(size, site.fraction):
                return None
        return (
            f"{site.fraction} of the filters of {site.node!r} rounds to none; they can be removed"
            f" from groups of {', '.join(map(str, sizes))}"
        )

    def _apply(self, graph: Graph, site: PruneSite, rng: np.random.Generator) -> Change:
        sizes = all_filters(graph)[site.node].sizes
        removed = {group: num_removed(size, site.fraction) for group, size in sizes.items()}
        return self.prune(graph, removed)

    def prune(self, graph: Graph, removed: Mapping[int, int]) -> Change:
        """Remove channels from groups, in place.

        Args:
            graph: The graph to edit.
            removed: The number of channels to remove from each group.
        """
        sizes = channel_groups(graph).sizes
        sources = {g: _kept(graph, g, sizes[g] - n) for g, n in removed.items() if n}
        change = change_channels(graph, sources, lambda _, shape: np.zeros(shape))
        after = {n for a in change.absorbers for n in normalizations_after(graph, a)}
        fits = fit_repairs(graph, topological_order(graph, change.absorbers))
        statistics = statistics_repairs(graph, topological_order(graph, after))
        affected = topological_order(graph, {*changed_nodes(graph, change), *after})
        return Change(graph, affected, (*fits, *statistics), change.sources)


def num_removed(size: int, fraction: str) -> int:
    """Return how many of `size` filters a fraction is, rounded down; at least one stays."""
    return min(int(size * _fraction(fraction)), size - 1)


@lru_cache(maxsize=256)
def _fraction(text: str) -> Fraction:
    return Fraction(text)


def _kept(graph: Graph, group: int, num_kept: int) -> np.ndarray:
    """Return the channels of a group with the largest norms, ascending; the first of equal ones."""
    if not graph.has_weights:
        return np.arange(num_kept)
    norms = _filter_norms(graph, group)
    # A stable sort of the negated norms puts the first of equal filters first.
    return np.sort(np.argsort(-norms, kind="stable")[:num_kept])


def _filter_norms(graph: Graph, group: int) -> np.ndarray:
    """Return, for each channel of a group, the sum of absolute weights that produce it."""
    groups = channel_groups(graph)
    norms = np.zeros(groups.sizes[group])
    for name, node in graph.items():
        if not isinstance(node.layer, ABSORBERS):
            continue
        is_separable = isinstance(node.layer, SeparableConv2D)
        kernel = node.weights["pointwise_kernel" if is_separable else "kernel"]
        # The output of a producer is a row of runs; find where those of this group lie in it.
        offset = 0
        for run in groups.runs[name]:
            size = groups.sizes[run.group]
            if run.group == group:
                part = np.abs(kernel[..., offset : offset + size], dtype=np.float64)
                norms += part.reshape(-1, size).sum(axis=0)
            offset += size
    return norms
