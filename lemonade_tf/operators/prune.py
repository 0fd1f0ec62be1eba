"""Prune filters of a convolution: an approximate network morphism (section 3.2, item ii).

Of each group of channels that the convolution puts out, 1/2 or 1/4 is removed, and with it what
every reader has for them. Which filters stay is decided by the sum of their absolute weights
(Li et al., 2017, "Pruning filters for efficient convnets"), over all convolutions whose filters
are tied by sums or products; the paper does not say how its authors choose. How many stay follows
from the shapes alone.

Affected, and so distilled: the pruned convolutions, the batch norms on them, their readers and the
batch norms behind those (A.1). The readers want to be fitted, to do without what was pruned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import ABSORBERS, change_channels
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.operators.base import Change, Operator, in_order
from lemonade_tf.operators.remove import fits_of, normalizations_of, statistics_of
from lemonade_tf.operators.widen import (
    changeable_convolutions,
    changed_nodes,
    why_unchangeable,
)

FRACTIONS = ("1/2", "1/4")


@dataclass(frozen=True)
class PruneSite:
    """The convolution `node`, less this fraction of its filters, as text ("1/2")."""

    node: str
    fraction: str


@dataclass(frozen=True)
class PruneFilters(Operator):
    """Remove a fraction of the filters of a convolution.

    Args:
        fractions: Which, as text.
    """

    fractions: tuple[str, ...] = FRACTIONS
    name = "prune_filters"
    exact = False
    site = PruneSite

    def _sites(self, graph: Graph) -> Iterator[PruneSite]:
        groups = channel_groups(graph)
        for name in changeable_convolutions(graph):
            sizes = [groups.sizes[g] for g in groups.groups_of(name)]
            for fraction in self.fractions:
                if any(num_removed(size, fraction) for size in sizes):
                    yield PruneSite(name, fraction)

    def _why_not(self, graph: Graph, site: PruneSite) -> str:
        why = why_unchangeable(graph, site.node)
        if why is not None:
            return why
        if site.fraction not in self.fractions:
            return f"the fraction is {site.fraction}; expected one of {', '.join(self.fractions)}"
        groups = channel_groups(graph)
        sizes = [groups.sizes[g] for g in groups.groups_of(site.node)]
        return (
            f"{site.fraction} of its filters is not one; those that can be removed"
            f" come in {', '.join(map(str, sizes))}"
        )

    def _apply(self, graph: Graph, site: PruneSite, rng: np.random.Generator) -> Change:
        groups = channel_groups(graph)
        removed = {
            g: num_removed(groups.sizes[g], site.fraction) for g in groups.groups_of(site.node)
        }
        return self.prune(graph, removed)

    def prune(self, graph: Graph, removed: Mapping[int, int]) -> Change:
        """Remove channels from groups, in place: for each group, how many."""
        sizes = channel_groups(graph).sizes
        sources = {g: _kept(graph, g, sizes[g] - n) for g, n in removed.items() if n}
        change = change_channels(graph, sources, lambda _, shape: np.zeros(shape))
        changed = set(changed_nodes(graph, change))
        for reader in change.absorbers:
            changed.update(normalizations_of(graph, reader))
        affected = in_order(graph, changed)
        behind = [n for r in change.absorbers for n in normalizations_of(graph, r)]
        statistics = statistics_of(graph, in_order(graph, behind))
        fits = fits_of(graph, in_order(graph, change.absorbers))
        return Change(graph, affected, (*fits, *statistics), change.sources)


def num_removed(size: int, fraction: str) -> int:
    """Return how many of `size` filters a fraction is, rounded down; at least one stays."""
    return min(int(size * Fraction(fraction)), size - 1)


def _kept(graph: Graph, group: int, num_kept: int) -> np.ndarray:
    """Return which channels of a group stay: those with the largest norms; ties, the first."""
    if not graph.has_weights:
        return np.arange(num_kept)
    norms = _filter_norms(graph, group)
    return np.sort(np.argsort(-norms, kind="stable")[:num_kept])


def _filter_norms(graph: Graph, group: int) -> np.ndarray:
    """Return, for each channel of a group, the sum of absolute weights that produce it."""
    groups = channel_groups(graph)
    norms = np.zeros(groups.sizes[group])
    for name, node in graph.items():
        if not isinstance(node.layer, ABSORBERS):
            continue
        kernel = node.weights.get("pointwise_kernel", node.weights.get("kernel"))
        offset = 0
        for run in groups.runs[name]:
            size = groups.sizes[run.group]
            if run.group == group:
                part = np.abs(kernel[..., offset : offset + size], dtype=np.float64)
                norms += part.reshape(-1, size).sum(axis=0)
            offset += size
    return norms
