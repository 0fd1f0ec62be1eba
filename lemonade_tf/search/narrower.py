"""Make initial networks narrower, for limits that exclude all of them.

The convolutions are pruned in turn, so the proportions of a network stay roughly the same. What
comes out has a fraction of the limits: one network the limits themselves, the others less, so that
the search starts with networks of different sizes, as in the paper. A network over a limit is then
never trained, not even as a parent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.objectives.limits import Limit, exceeded
from lemonade_tf.operators import Operator, record
from lemonade_tf.operators.prune import PruneSite
from lemonade_tf.search_spaces import SearchSpace

Operators = tuple[Mapping[str, Any], ...]

_SMALLEST_SHARE = 1 / 8


def shares(number: int) -> list[float]:
    """Return the shares of the limits that initial networks get, from the smallest network on.

    Args:
        number: The number of networks.
    """
    return [max(_SMALLEST_SHARE, 0.5**halvings) for halvings in reversed(range(number))]


def narrower(
    space: SearchSpace, graph: Graph, limits: Sequence[Limit], share: float = 1.0
) -> tuple[Graph, Operators, bool]:
    """Prune a network until it is within a share of all limits, or else within a larger share.

    Args:
        space: The space, whose operator prunes. Its minimum numbers of filters and parameters do
            not count.
        graph: The network; shapes only.
        limits: The limits.
        share: The share of the limits to aim at; doubled up to 1 if that cannot be reached.

    Returns:
        The network, the operators that make it from the given one, and whether it is within the
        limits. If not, it is the narrowest one.

    Raises:
        ObjectiveError: If an objective cannot be computed.
    """
    prune = next(operator for operator in space.approximate if operator.site is PruneSite)
    while True:
        parts = [Limit(each.objective, share * each.maximum) for each in limits]
        pruned, operators = _pruned(prune, graph, parts)
        if not exceeded(parts, pruned):
            return pruned, operators, True
        if share >= 1:
            return pruned, operators, False
        share = min(1.0, 2 * share)


def _pruned(prune: Operator, graph: Graph, limits: Sequence[Limit]) -> tuple[Graph, Operators]:
    """Prune one convolution after the other until a network is within the limits, if possible."""
    operators: list[Mapping[str, Any]] = []
    times: Counter[str] = Counter()  # that each convolution was pruned
    rng = np.random.default_rng(0)  # not used: there are no weights
    while exceeded(limits, graph):
        sites: dict[str, Any] = {}
        for site in prune.candidates(graph):  # 1/4 of the filters, or 1/2 of the last few
            if site.node not in sites or site.fraction == "1/4":
                sites[site.node] = site
        if not sites:
            break
        node = min(reversed(sites), key=lambda name: times[name])  # the last ones are the widest
        times[node] += 1
        operators.append(record(prune, sites[node]))
        graph = prune.apply(graph, sites[node], rng=rng).graph
    return graph, tuple(operators)
