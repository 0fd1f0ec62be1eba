"""Prune filters of a convolution: an approximate network morphism (section 3.2, item ii).

Of each group of channels in the convolution's output, 1/2 or 1/4 is removed, with the weights that
its consumers have for them. The filters with the smallest sums of absolute weights go (Li et al.,
2017, "Pruning filters for efficient convnets"), summed over all convolutions whose filters are tied
by sums or products; the paper does not say how its authors choose. How many stay follows from the
shapes alone. With a `multiple`, the number of channels that stay in a group is rounded down to a
multiple of it, but at least one multiple stays. So pruning undoes widening, which rounds up.

Affected, and therefore distilled: the pruned convolutions, the batch norms on them, their consumers
and the batch norms after those (A.1). The consumers are fitted to compensate for what was pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import ABSORBERS, change_channels
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.channel_runs import Sources
from lemonade_tf.architecture.channel_weights import filters_axis
from lemonade_tf.architecture.layers import SeparableConv2D
from lemonade_tf.operators.affected import (
    changed_nodes,
    fit_repairs,
    normalizations_after,
    statistics_repairs,
)
from lemonade_tf.operators.base import Operator
from lemonade_tf.operators.change import Change, topological_order
from lemonade_tf.operators.filters import all_filters, filters_refusal, multiple_refusal

FRACTIONS = ("1/2", "1/4")

Importance = Callable[[Graph, str], np.ndarray]  # (graph, name) -> one number per filter


@dataclass(frozen=True)
class PruneSite:
    """The convolution to prune, and how much.

    Attributes:
        node: A Conv2D or SeparableConv2D.
        fraction: The fraction of its filters to remove, as text ("1/2").
        multiple: The number of filters that stay is a multiple of it.
    """

    node: str
    fraction: str
    multiple: int = 1


@dataclass(frozen=True)
class PruneFilters(Operator):
    """Remove a fraction of the filters of a convolution.

    Attributes:
        fractions: The fractions to choose from, as text.
        multiple: What the numbers of filters that stay are multiples of.
    """

    fractions: tuple[str, ...] = FRACTIONS
    multiple: int = 1
    name = "prune_filters"
    exact = False
    site = PruneSite

    def with_width_multiple(self, multiple: int) -> PruneFilters:
        return replace(self, multiple=multiple)

    def _sites(self, graph: Graph) -> Iterator[PruneSite]:
        names = all_filters(graph)
        return (PruneSite(n, f, self.multiple) for n in names for f in self.fractions)

    def _refusal(self, graph: Graph, site: PruneSite) -> str | None:
        reason = filters_refusal(graph, site.node)
        if reason is not None:
            return reason
        if site.fraction not in self.fractions:
            return f"the fraction is {site.fraction}; expected one of {', '.join(self.fractions)}"
        removed = self._removed(graph, site)
        if any(removed.values()):
            changing = [group for group, number in removed.items() if number]
            return multiple_refusal(graph, changing, site.multiple)
        sizes = all_filters(graph)[site.node].sizes.values()
        left = "" if site.multiple == 1 else f" if a multiple of {site.multiple} must stay"
        return (
            f"{site.fraction} of the filters of {site.node!r} rounds to none{left}; they can be"
            f" removed from groups of {', '.join(map(str, sizes))}"
        )

    def _apply(self, graph: Graph, site: PruneSite, rng: np.random.Generator) -> Change:
        return self.prune(graph, self._removed(graph, site))

    def _removed(self, graph: Graph, site: PruneSite) -> dict[int, int]:
        """Return how many channels are removed from each group."""
        sizes = all_filters(graph)[site.node].sizes
        return {g: num_removed(size, site.fraction, site.multiple) for g, size in sizes.items()}

    def prune(self, graph: Graph, removed: Mapping[int, int]) -> Change:
        """Remove channels from groups, in place.

        Args:
            graph: The graph to edit.
            removed: The number of channels to remove from each group.
        """
        sizes = channel_groups(graph).sizes
        sources = {g: _kept(graph, g, sizes[g] - n) for g, n in removed.items() if n}
        return keep_channels(graph, sources)


def keep_channels(graph: Graph, sources: Sources) -> Change:
    """Remove all other channels from groups, in place, with the repairs that this requires.

    Args:
        graph: The graph to edit.
        sources: For each group, the channels that stay, ascending.
    """
    change = change_channels(graph, sources, lambda _, shape: np.zeros(shape))
    after = {n for a in change.absorbers for n in normalizations_after(graph, a)}
    fits = fit_repairs(graph, topological_order(graph, change.absorbers))
    statistics = statistics_repairs(graph, topological_order(graph, after))
    affected = topological_order(graph, {*changed_nodes(graph, change), *after})
    return Change(graph, affected, (*fits, *statistics), change.sources)


def num_removed(size: int, fraction: str, multiple: int = 1) -> int:
    """Return how many of `size` filters a fraction is, rounded down; at least one stays.

    Args:
        size: The number of filters.
        fraction: The fraction to remove, as text.
        multiple: What the number of filters that stay is rounded down to a multiple of.
    """
    kept = size - int(size * _fraction(fraction))
    return max(0, size - max(kept // multiple, 1) * multiple)


@lru_cache(maxsize=256)
def _fraction(text: str) -> Fraction:
    return Fraction(text)


def _kept(graph: Graph, group: int, num_kept: int) -> np.ndarray:
    """Return the channels of a group with the largest norms, ascending; the first of equal ones."""
    if not graph.has_weights:
        return np.arange(num_kept)
    return most_important(group_importance(graph, group, filter_norms), num_kept)


def most_important(importance: np.ndarray, num_kept: int) -> np.ndarray:
    """Return the channels with the largest importance, ascending; the first of equal ones."""
    # A stable sort of the negated numbers puts the first of equal channels first.
    return np.sort(np.argsort(-importance, kind="stable")[:num_kept])


def filter_norms(graph: Graph, name: str) -> np.ndarray:
    """Return the sums of absolute weights of the filters of a node (filters,), in float64."""
    node = graph[name]
    is_separable = isinstance(node.layer, SeparableConv2D)
    kernel = node.weights["pointwise_kernel" if is_separable else "kernel"]
    kernel = np.moveaxis(kernel, filters_axis(node.layer), -1)
    return np.abs(kernel, dtype=np.float64).reshape(-1, kernel.shape[-1]).sum(axis=0)


def group_importance(graph: Graph, group: int, importance: Importance) -> np.ndarray:
    """Return the importance of each channel of a group, summed over the filters that produce it.

    Args:
        graph: The graph.
        group: The group.
        importance: Returns the importance of each filter of a convolution or dense layer.
    """
    groups = channel_groups(graph)
    total = np.zeros(groups.sizes[group])
    for name, node in graph.items():
        if not isinstance(node.layer, ABSORBERS) or group not in groups.groups_of(name):
            continue
        values = importance(graph, name)
        # The output of a producer is a row of runs; find where those of this group lie in it.
        offset = 0
        for run in groups.runs[name]:
            size = groups.sizes[run.group]
            if run.group == group:
                total += values[offset : offset + size]
            offset += size
    return total
