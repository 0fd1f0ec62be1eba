"""Limits on cheap objectives: a network over a limit is never trained.

The paper has no limits. But its density favors extreme networks, so a search without limits may
spend hours on networks that are too large to be useful.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.objectives.objective import Objective


@dataclass(frozen=True)
class Limit:
    """The maximum of a cheap objective.

    Attributes:
        objective: The objective; the search need not minimize it.
        maximum: The largest value allowed.
    """

    objective: Objective
    maximum: float

    def __str__(self) -> str:
        return f"{self.objective.name}={self.maximum:,.10g}"


def exceeded(
    limits: Iterable[Limit], graph: Graph, known: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return the objectives in which a network is over the limit, with its values.

    Args:
        limits: The limits.
        graph: The network.
        known: Values of its objectives that have been computed already.

    Raises:
        ObjectiveError: If an objective cannot be computed.
    """
    found = {}
    for limit in limits:
        name = limit.objective.name
        value = known[name] if known and name in known else limit.objective.value(graph)
        if value > limit.maximum:
            found[name] = value
    return found


def smallest_values(limits: Sequence[Limit], graphs: Sequence[Graph]) -> str:
    """Return, for an error message, the smallest values of networks in objectives with limits."""
    return ", ".join(
        f"{limit.objective.name} {min(map(limit.objective.value, graphs)):,.10g}"
        for limit in limits
    )
