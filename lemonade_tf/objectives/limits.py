"""Bounds on cheap objectives: a network beyond one is never trained.

The paper has none, and its density likes extremes: without a bound, a search spends hours on
networks that are too large to be of use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.objectives.lookup import find_objective, objectives_of
from lemonade_tf.objectives.objective import Objective, ObjectiveError


@dataclass(frozen=True)
class Limit:
    """A bound on a cheap objective.

    Attributes:
        objective: Which; it need not be one of those that are minimised.
        most: The largest value that a network may have.
    """

    objective: Objective
    most: float

    def __str__(self) -> str:
        return f"{self.objective.name}={self.most:,.10g}"


def limits_of(settings: Mapping[str, Any]) -> tuple[Limit, ...]:
    """Return the limits of a run.

    Args:
        settings: Those of the run, as in its config.json; `limit` has numbers by what the objective
            is called, or by MODULE:NAME.

    Raises:
        ObjectiveError: An objective is not known or not cheap, or a limit is no positive number.
    """
    objectives = objectives_of(settings)
    known = dict(zip(settings["objectives"], objectives, strict=True))
    known |= {objective.name: objective for objective in objectives}
    prepared = settings.get("prepared", {})
    limits = []
    for name, most in settings.get("limit", {}).items():
        objective = known[name] if name in known else find_objective(name)
        if not objective.cheap:
            raise ObjectiveError(
                f"{name}={most}: {name!r} is measured on the trained network; expected a cheap"
                " objective, which is known before a child is trained."
            )
        is_number = isinstance(most, Real) and not isinstance(most, bool)
        if not is_number or not most > 0 or not isfinite(most):
            raise ObjectiveError(f"{name}={most}: expected a number of more than 0.")
        if name not in known and name in prepared:
            objective = objective.with_prepared(prepared[name])
        limits.append(Limit(objective, most))
    return tuple(limits)


def exceeded(
    limits: Iterable[Limit], graph: Graph, known: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return what a network has of the objectives whose limit it exceeds, by name.

    Args:
        limits: The limits.
        graph: The network.
        known: Its objectives that are known already.

    Raises:
        ObjectiveError: The network has no value for one of them.
    """
    found = {}
    for limit in limits:
        name = limit.objective.name
        value = known[name] if known and name in known else limit.objective.value(graph)
        if value > limit.most:
            found[name] = value
    return found


def smallest(limits: Sequence[Limit], graphs: Sequence[Graph]) -> str:
    """Say what the least is that some networks have of each objective with a limit."""
    return ", ".join(
        f"{limit.objective.name} {min(map(limit.objective.value, graphs)):,.10g}"
        for limit in limits
    )
