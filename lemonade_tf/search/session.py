"""Run a search in its folder: start workers, run the algorithm, leave a complete folder.

The algorithm is LEMONADE (`search.algorithm`) or random search (`baselines.random_search`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from lemonade_tf.config import SearchConfig
from lemonade_tf.evolution.generation import Batch
from lemonade_tf.evolution.individual import Individual
from lemonade_tf.executors import Executor
from lemonade_tf.monitoring.callback import Callback, SearchState
from lemonade_tf.runs.choosing import LOWEST_ERROR, choose
from lemonade_tf.runs.pace import seconds_used
from lemonade_tf.runs.run import read_run
from lemonade_tf.search.evaluator import ChildEvaluator
from lemonade_tf.search.failures import NotStartedError
from lemonade_tf.search.int8_sizes import is_about_size, measure_sizes, missing_sizes
from lemonade_tf.search.measurements import Measurements
from lemonade_tf.search.reporter import Reporter
from lemonade_tf.search.setup import Setup
from lemonade_tf.search.stopping import Interruption, StopCondition
from lemonade_tf.search.time_budget import RESERVED_SECONDS, TOLERANCE, TimeBudget
from lemonade_tf.search.worker_processes import search_workers
from lemonade_tf.store import RunStore


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        workdir: The run folder.
        front: The Pareto front, sorted by the first cheap objective: one mapping per network, with
            the columns of front.csv as keys.
        hypervolume: The hypervolume of the front, up to the reference point in config.json.
        complete: Whether all generations are complete; False if `max_hours` or Ctrl-C ended the
            search.
        stopped: Whether Ctrl-C ended it.
    """

    workdir: Path
    front: Sequence[Mapping[str, Any]]
    hypervolume: float
    complete: bool
    stopped: bool = False

    def best(self, rule: str = LOWEST_ERROR) -> Mapping[str, Any]:
        """Return the network of the front that a rule chooses, with the keys of `front`.

        Args:
            rule: Such as "smallest: error<=0.05", "lowest error: parameters<=1e5" or "knee"; by
                default the lowest validation error.

        Raises:
            ChoiceError: If the rule is none, or names an unknown objective.
            NoNetworkError: If no network satisfies its conditions.
        """
        run = read_run(self.workdir)
        return run.store.front_row(choose(run, rule)).as_columns()


@dataclass(frozen=True)
class Session:
    """Bundle the parts of a running search.

    Attributes:
        setup: The run.
        executor: Its workers.
        evaluator: Trains networks and records them.
        reporter: Reports the progress.
        stop: When to stop early.
        measurements: Measures the inference times of the front.
    """

    setup: Setup
    executor: Executor
    evaluator: ChildEvaluator
    reporter: Reporter
    stop: StopCondition
    measurements: Measurements

    def resized(self, config: SearchConfig) -> Session:
        """Return the session with other settings, which are recorded in config.json."""
        setup, state = replace(self.setup, config=config), self.reporter.state
        recorded = setup.store.read_config()
        setup.store.write_config(replace(recorded, settings=config.as_json()))
        self.evaluator.resize(setup)
        state.config = config
        state.num_expected = state.num_initial + config.num_generations * config.num_accepted
        return replace(self, setup=setup)

    def begin_generation(self, batch: Batch) -> None:
        """Record the proposals of a generation, and report its start."""
        self.evaluator.record_proposals(batch)
        self.reporter.begin_generation(batch)

    def measure(self, population: Iterable[Individual]) -> None:
        """Measure the inference times of a population's front that have not been measured yet."""
        members = self.evaluator.front.members
        front = [individual for individual in population if individual.id in members]
        self.measurements.take(self.executor, front, self.stop.is_met)

    def end_generation(self, population: Iterable[Individual]) -> None:
        """Measure the front after a generation, and report its end."""
        self.measure(population)
        self.reporter.notify("on_generation_end")


def run_session(
    setup: Setup,
    algorithm: Callable[[Session], bool],
    *,
    callbacks: Sequence[Callback] = (),
    started: float | None = None,
    executor: Executor | None = None,
) -> SearchResult:
    """Run an algorithm in a run folder, and release the folder.

    Args:
        setup: The run, whose folder is locked.
        algorithm: Trains networks; returns whether it is complete.
        callbacks: Informed of the progress.
        started: When the search was started, a value of `time.monotonic`; now by default.
        executor: Trains the networks, and stays open; by default, worker processes.
    """
    config, store = setup.config, setup.store
    started = time.monotonic() if started is None else started
    budget = _time_budget(setup, started)
    deadline = None if config.max_hours is None else started + 3600 * config.max_hours
    if budget is not None:
        deadline = budget.end
    num_initial = len(setup.initial)
    num_expected = num_initial + config.num_generations * config.num_accepted
    state = SearchState(config, store.path, num_expected, num_initial)
    reporter = Reporter(state, callbacks, started=started, deadline=deadline)
    interruption = Interruption(lambda: reporter.notify("on_stop_requested"))
    stop = StopCondition(deadline, lambda: interruption.is_requested, budget)
    with ExitStack() as stack:  # left in reverse order
        stack.callback(store.release)
        stack.push(partial(_remove_unstarted, setup))
        if executor is None:
            own = search_workers(config, setup.source(), log_dir=store.path / "logs")
            workers = stack.enter_context(own)
        else:
            workers = executor
        if budget is not None:
            workers.abort_at = budget.abort_at
            stack.callback(setattr, workers, "abort_at", inf)
        evaluator = ChildEvaluator(setup, workers, stop, reporter.end_network)
        names = [objective.name for objective in setup.objectives]
        measurements = Measurements(store, names, config.latency_protocol)
        reporter.restore(list(setup.history.networks.values()), evaluator.front)
        stack.callback(reporter.end_search)
        stack.callback(evaluator.clean_up)
        stack.enter_context(interruption)
        if executor is None:
            stack.callback(workers.close)  # first of all; no worker may write during `clean_up`
        complete = algorithm(Session(setup, workers, evaluator, reporter, stop, measurements))
        if is_about_size(setup) and not interruption.is_requested:
            missing = missing_sizes(store, evaluator.front.members)
            if missing:
                reporter.announce(f"Quantizing {len(missing)} networks of the front to int8.")
                measure_sizes(store, missing, workers)
        if complete:
            _record_end(store)
    return SearchResult(
        workdir=store.path,
        front=[row.as_columns() for row in evaluator.front.rows()],
        hypervolume=state.hypervolume,
        complete=complete,
        stopped=interruption.is_requested and not complete,
    )


def _time_budget(setup: Setup, started: float) -> TimeBudget | None:
    """Return what is left of the setting `minutes`; None without it."""
    if setup.config.minutes is None:
        return None
    history = setup.history.networks
    used = seconds_used(list(history.values()))
    seconds = 60 * setup.config.minutes
    reserved = RESERVED_SECONDS + (min(30.0, 0.1 * seconds) if is_about_size(setup) else 0.0)
    budget = TimeBudget(started + seconds - used - reserved, TOLERANCE * seconds)
    for id_, individual in setup.recorded.items():
        if history[id_].failure is None:
            budget.note(individual.architecture, history[id_].seconds.get("total", 0.0))
    return budget


def _remove_unstarted(setup: Setup, _: object, error: object, __: object) -> None:
    """Leave no folder of a search that did not start; called at its end, with its exception."""
    if isinstance(error, NotStartedError):
        setup.store.remove()
        if setup.config.workdir is None:
            with suppress(OSError):  # unless it holds other runs
                setup.store.path.parent.rmdir()


def _record_end(store: RunStore) -> None:
    """Record in config.json that the search is finished."""
    config = store.read_config()
    if config.finished_generations != config.num_generations:
        store.write_config(replace(config, finished_generations=config.num_generations))
