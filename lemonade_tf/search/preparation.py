"""Prepare the objectives of a new search: by a worker, or from the tables of a previous run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Shape
from lemonade_tf.architecture.text import to_json
from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.executors import Outcome
from lemonade_tf.latency.runtime import RUNTIMES
from lemonade_tf.latency.table import LatencyTable, TableError
from lemonade_tf.objectives.lookup import find_objective
from lemonade_tf.objectives.objective import ObjectiveError
from lemonade_tf.store import RunStore, StoreError
from lemonade_tf.workers.tasks import ObjectiveTask

RunTasks = Callable[[SearchConfig, Sequence[ObjectiveTask]], Sequence[Outcome]]


def prepare_objectives(
    config: SearchConfig, initial: Sequence[Graph], run_tasks: RunTasks | None
) -> dict[str, Any]:
    """Prepare the objectives that need it, including those of limits.

    Args:
        config: The settings.
        initial: The initial networks.
        run_tasks: Carries out the tasks on a worker; None if there is no worker.

    Returns:
        The prepared data, by the objectives' names in the settings.

    Raises:
        ConfigError: If the tables of a previous run are missing or invalid for this search.
        ObjectiveError: If an objective cannot be prepared.
    """
    minimized = {find_objective(name).name for name in config.objectives}
    names = [*config.objectives, *(name for name in config.limit if name not in minimized)]
    input_shape = initial[0].shapes()[initial[0].input]
    reused = reused_tables(config, [name for name in RUNTIMES if name in names], input_shape)
    tasks = [
        ObjectiveTask(name, tuple(map(to_json, initial)), config.space, config.threads, config.seed)
        for name in dict.fromkeys(names)
        if find_objective(name).prepare is not None and name not in reused
    ]
    if not tasks:
        return reused
    if run_tasks is None:
        raise ObjectiveError(
            f"the objective {tasks[0].name!r} must be prepared by a worker, and there is none."
        )
    outcomes = run_tasks(config, tasks)
    for outcome in outcomes:
        if outcome.failure is not None:
            reason = outcome.failure.removeprefix(f"{ObjectiveError.__name__}: ")
            raise ObjectiveError(
                f"the objective {outcome.task.name!r} could not be prepared: {reason}"
            )
    return reused | {outcome.task.name: outcome.result for outcome in outcomes}


def reused_tables(
    config: SearchConfig, runtimes: Sequence[str], input_shape: Shape
) -> dict[str, Any]:
    """Return the inference-time tables of the previous run that `latency_table` names.

    Args:
        config: The settings.
        runtimes: The inference times among the objectives and limits of the search.
        input_shape: (height, width, channels) of its images.

    Returns:
        The tables by runtime; empty if the settings name no run.

    Raises:
        ConfigError: If the previous run lacks a table, or a table is invalid for this search.
    """
    if config.latency_table is None or not runtimes:
        return {}
    try:
        tables = RunStore.open(config.latency_table).read_config().prepared
        missing = [runtime for runtime in runtimes if runtime not in tables]
        if missing:
            raise TableError(
                f"the run has no table of {', '.join(missing)}; expected a run with the objectives"
                f" {','.join(runtimes)}."
            )
        for runtime in runtimes:
            LatencyTable.from_json(tables[runtime]).check_conditions(input_shape, config.threads)
    except (StoreError, TableError) as error:
        raise ConfigError(f"--latency_table {config.latency_table}: {error}") from error
    return {runtime: tables[runtime] for runtime in runtimes}
