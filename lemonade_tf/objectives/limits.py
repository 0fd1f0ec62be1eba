"""Limits on cheap objectives: a network over a limit is never trained.

The paper has no limits. But its density favours extreme networks, so a search without limits may
spend hours on networks that are too large to be useful.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from numbers import Real
from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.objectives.lookup import find_objective, run_objectives
from lemonade_tf.objectives.objective import Objective, ObjectiveError


@dataclass(frozen=True)
class Limit:
    """The maximum of a cheap objective.

    Attributes:
        objective: The objective; the search need not minimise it.
        maximum: The largest value allowed.
    """

    objective: Objective
    maximum: float

    def __str__(self) -> str:
        return f"{self.objective.name}={self.maximum:,.10g}"


def run_limits(
    settings: Mapping[str, Any], prepared: Mapping[str, Any] | None = None
) -> tuple[Limit, ...]:
    """Return the limits of a run.

    Args:
        settings: The settings of the run; `limit` maps objectives, by name or as "MODULE:NAME", to
            maxima.
        prepared: As for `run_objectives`.

    Raises:
        ObjectiveError: If an objective is unknown or not cheap, or a maximum is not positive.
    """
    prepared = prepared or {}
    objectives = run_objectives(settings, prepared)
    known = dict(zip(settings["objectives"], objectives, strict=True))
    known |= {objective.name: objective for objective in objectives}
    limits = []
    for name, maximum in settings.get("limit", {}).items():
        objective = known[name] if name in known else find_objective(name)
        if not objective.cheap:
            raise ObjectiveError(
                f"{name}={maximum}: {name!r} is measured on the trained network; expected a cheap"
                " objective, whose value is known before training."
            )
        if not _is_number(maximum) or not 0 < float(maximum) < inf:
            raise ObjectiveError(f"{name}={maximum}: expected a number greater than 0.")
        if name not in known and name in prepared:
            objective = objective.with_prepared(prepared[name])
        limits.append(Limit(objective, float(maximum)))
    return tuple(limits)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


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
