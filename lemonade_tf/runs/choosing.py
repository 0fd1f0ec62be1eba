"""Choose networks of a front: those within limits, the knee, and the best one by a rule.

A rule is a goal, optionally followed by a colon and conditions that are separated by commas:

    smallest: error<=0.05
    lowest error: parameters<=100e3, multiply_adds<=5e6
    knee

The goal is `smallest` (the fewest parameters, or the first cheap objective if these are none),
`lowest NAME`, or `knee`. A condition is an upper limit, and may be a percentage: `error<=5%`. NAME
is an objective of the run, or a built-in cheap one, which is computed from the networks' files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.objectives.boards import INT8_ARENA, INT8_BYTES
from lemonade_tf.objectives.lookup import find_objective
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.runs.quality import coordinates
from lemonade_tf.store import NetworkRecord

if TYPE_CHECKING:
    from lemonade_tf.runs.run import Run

SIZES = (INT8_BYTES, INT8_ARENA)
SMALLEST, LOWEST, KNEE = "smallest", "lowest", "knee"
LOWEST_ERROR = "lowest error"  # the default rule
_EXAMPLES = "'smallest: error<=0.05', 'lowest error: parameters<=1e5' or 'knee'"


class ChoiceError(LemonadeError, ValueError):
    """A rule or a limit cannot be understood; the message says what is expected."""

    exit_status: ClassVar[int] = 2


class NoNetworkError(LemonadeError, LookupError):
    """No network of the front satisfies a rule; the message says what is possible."""


@dataclass(frozen=True)
class Rule:
    """What to choose.

    Attributes:
        goal: SMALLEST, KNEE, or LOWEST and the name of an objective.
        limits: The largest value allowed, by objective.
    """

    goal: str
    limits: Mapping[str, float]


def parse_rule(text: str) -> Rule:
    """Return a rule that is given as text.

    Raises:
        ChoiceError: If it is none.
    """
    if not isinstance(text, str):
        raise ChoiceError(f"the rule is {quoted(repr(text))}; expected text, such as {_EXAMPLES}.")
    goal, _, conditions = text.partition(":")
    words = goal.split()
    is_lowest = len(words) == 2 and words[0] == LOWEST
    if words not in ([SMALLEST], [KNEE]) and not is_lowest:
        raise ChoiceError(
            f"the rule {quoted(repr(text))} starts with {quoted(repr(goal.strip()))}; expected"
            f" {SMALLEST}, {LOWEST} NAME or {KNEE}, such as {_EXAMPLES}."
        )
    limits: dict[str, float] = {}
    for condition in filter(None, map(str.strip, conditions.split(","))):
        name, value = _parse_condition(condition)
        limits[name] = min(value, limits.get(name, value))
    return Rule(" ".join(words), limits)


def _parse_condition(text: str) -> tuple[str, float]:
    name, _, number = map(str.strip, text.replace("≤", "<=").partition("<="))
    factor = 100 if number.endswith("%") else 1
    try:
        value = float(number.removesuffix("%")) / factor
    except ValueError:
        value = float("nan")
    if not name or not isfinite(value):
        raise ChoiceError(
            f"the condition {quoted(repr(text))} is none; expected NAME<=NUMBER, such as"
            " error<=0.05, error<=5% or parameters<=100e3."
        )
    return name, value


def choose(run: Run, rule: str | Rule) -> NetworkRecord:
    """Return the network of a front that a rule chooses.

    Of several equally good ones, it is the one with the lowest error, then the smallest. If the
    search breaks ties between errors, so does this.

    Raises:
        ChoiceError: If the rule is none, or names an unknown objective.
        NoNetworkError: If no network satisfies its conditions.
    """
    rule = rule if isinstance(rule, Rule) else parse_rule(rule)
    fitting = networks_within(run, rule.limits)
    if not fitting:
        raise NoNetworkError(none_within(run, rule.limits))
    if rule.goal == KNEE:
        return knee(fitting, run.objectives)
    name = run.size.name if rule.goal == SMALLEST else rule.goal.split()[1]
    values = dict(zip((n.id for n in fitting), values_of_front(run, fitting, name), strict=True))
    size = run.size.name
    return min(
        fitting,
        key=lambda n: (
            n.ranked_errors.get(name, values[n.id]),
            n.ranked_error,
            n.objectives[size],
        ),
    )


def with_limits(rule: Rule, limits: Mapping[str, float]) -> Rule:
    """Return a rule with further limits; of two for an objective, the lower one holds."""
    lower = {name: min(x, limits.get(name, x)) for name, x in rule.limits.items()}
    return Rule(rule.goal, {**limits, **lower})


def networks_within(run: Run, limits: Mapping[str, float]) -> list[NetworkRecord]:
    """Return the networks of a front within upper limits by objective, in the front's order.

    Raises:
        ChoiceError: If a limit names an unknown objective.
    """
    networks = run.front()
    for name, limit in limits.items():
        values = values_of_front(run, networks, name)
        networks = [n for n, value in zip(networks, values, strict=True) if value <= limit]
    return networks


def none_within(run: Run, limits: Mapping[str, float]) -> str:
    """Return a sentence that says that no network fits, and the smallest value of each limit."""
    front = run.front()
    if not front:
        return f"no network of {run.store.path} has been trained yet."
    shown = ", ".join(f"{name}<={limit:,.10g}" for name, limit in limits.items())
    best = {name: min(values_of_front(run, front, name)) for name in limits}
    least = ", ".join(f"{name} {value:,.6g}" for name, value in best.items())
    missed = any(value > limits[name] for name, value in best.items())
    which = "" if missed else ", but not of one network"
    return (
        f"none of the {len(front)} networks of the front fits {shown}; the smallest values are"
        f" {least}{which}."
    )


def values_of_front(run: Run, networks: Sequence[NetworkRecord], name: str) -> list[float]:
    """Return the values of networks of a front in an objective of the run, or a cheap one.

    Of int8 sizes, it is the measured value if there is one.

    Raises:
        ChoiceError: If they have no such value.
        StoreError: If it must be computed from a file that cannot be read.
    """
    known = run.measured.get(name, {}) if name in SIZES else {}
    if name in (objective.name for objective in run.objectives):
        return [known.get(network.id, network.objectives[name]) for network in networks]
    objective = other_objective(run, name)
    return [
        known[network.id] if network.id in known else run.computed(objective, network)
        for network in networks
    ]


def other_sizes(run: Run) -> list[Objective]:
    """Return the int8 sizes that were measured on the front and are no objectives of the run."""
    known = [objective.name for objective in run.objectives]
    names = [name for name in SIZES if name in run.measured and name not in known]
    return [other_objective(run, name) for name in names]


def other_objective(run: Run, name: str) -> Objective:
    """Return a cheap objective that the run did not minimize.

    Raises:
        ChoiceError: If there is none of this name, or it must be measured.
    """
    known = ", ".join(objective.name for objective in run.objectives)
    if name.startswith("test_error"):
        raise ChoiceError(
            f"{name}: a network that is chosen by its test error is worse than it; choose by the"
            f" validation error, or another of {known}."
        )
    objective = find_objective(name)
    if name in run.config.prepared:
        objective = objective.with_prepared(run.config.prepared[name])
    if not objective.cheap or objective.prepare is not None:
        raise ChoiceError(
            f"{name} was not measured in this run; expected one of {known}, or a cheap objective"
            f" such as multiply_adds. Search with --objectives {known.replace(' ', '')},{name}."
        )
    return objective


def knee(networks: Sequence[NetworkRecord], objectives: Iterable[Objective]) -> NetworkRecord:
    """Return the network at the knee of a front: beyond it, little is gained for much.

    Each objective is scaled to 0 for its best value among the networks and 1 for its worst, in
    logarithms where its scale is "log". The knee is the network that is farthest from the plane
    through the best network of each objective, in two objectives from the line between the ends of
    the front: the one with the lowest sum.

    Args:
        networks: At least one, sorted; of several equally good ones, it is the first.
        objectives: The objectives of the run.

    References:
        Das: On characterizing the "knee" of the Pareto curve based on normal-boundary
        intersection. Structural Optimization 18, 1999.
    """
    objectives = tuple(objectives)
    points = np.array([coordinates(objectives, network.objectives) for network in networks])
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    return networks[int(scaled.sum(axis=1).argmin())]
