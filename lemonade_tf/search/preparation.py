"""The objectives of a search that begins: prepared by a worker, and limits on initial networks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.text import to_json
from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.executors import Outcome
from lemonade_tf.latency.runtime import RUNTIMES
from lemonade_tf.objectives.limits import Limit, exceeded, smallest_values
from lemonade_tf.objectives.lookup import find_objective
from lemonade_tf.objectives.objective import ObjectiveError
from lemonade_tf.search.reused_tables import former_tables
from lemonade_tf.workers.tasks import ObjectiveTask

CarryOut = Callable[[SearchConfig, Sequence[ObjectiveTask]], Sequence[Outcome]]
Kept = Callable[[Sequence[Any]], tuple[Any, ...]]
_logger = logging.getLogger(__name__)


def prepared_objectives(
    config: SearchConfig, initial: Sequence[Graph], carry_out: CarryOut | None
) -> dict[str, Any]:
    """Have the objectives prepared that want it, those of limits too.

    Args:
        config: The settings.
        initial: The initial networks.
        carry_out: Has a worker do it; None if there is none.

    Returns:
        What they found out, by their names in the settings.

    Raises:
        ConfigError: The tables of a former run are asked for, and do not hold here.
        ObjectiveError: One cannot be prepared.
    """
    called = {find_objective(name).name for name in config.objectives}
    names = [*config.objectives, *(n for n in config.limit if n not in called)]
    input_shape = initial[0].shapes()[initial[0].input]
    known = former_tables(config, [name for name in RUNTIMES if name in names], input_shape)
    tasks = [
        ObjectiveTask(name, tuple(map(to_json, initial)), config.space, config.threads, config.seed)
        for name in dict.fromkeys(names)
        if find_objective(name).prepare is not None and name not in known
    ]
    if not tasks:
        return known
    if carry_out is None:
        raise ObjectiveError(
            f"objective {tasks[0].name!r} has to be prepared by a worker, and there is none here."
        )
    outcomes = carry_out(config, tasks)
    for outcome in outcomes:
        if outcome.failure is not None:
            why = outcome.failure.removeprefix(f"{ObjectiveError.__name__}: ")
            raise ObjectiveError(f"objective {outcome.task.name!r} could not be prepared: {why}")
    return known | {outcome.task.name: outcome.result for outcome in outcomes}


def within(limits: Sequence[Limit], initial: Sequence[Graph]) -> Kept:
    """Return what takes those of a sequence whose initial network exceeds no limit.

    Args:
        limits: The limits.
        initial: The initial networks.

    Raises:
        ConfigError: There is none.
    """
    allowed = [not exceeded(limits, graph) for graph in initial]
    if not any(allowed):
        raise ConfigError(
            f"--limit: none of the {len(initial)} initial networks is within"
            f" {', '.join(map(str, limits))}; the smallest have {smallest_values(limits, initial)}."
            " Allow for more."
        )
    return lambda values: tuple(compress(values, allowed))


def warn_of_networks_left_out(
    limits: Sequence[Limit], initial: Sequence[Graph], kept: Sequence[Graph]
) -> None:
    """Say how many initial networks are left out, if some are."""
    if len(kept) < len(initial):
        _logger.warning(
            "%d of %d initial networks are beyond --limit %s, and left out.",
            len(initial) - len(kept),
            len(initial),
            ", ".join(map(str, limits)),
        )
