"""LEMONADE: Algorithm 1 of the paper, with children trained by workers.

`evolution` decides which children to train; the evaluator trains and records them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lemonade_tf.architecture.text import to_json
from lemonade_tf.errors import resume_command
from lemonade_tf.evolution import AsynchronousEvolution, Evaluation, Evolution, Individual, evolve
from lemonade_tf.monitoring.machine_load import busy_note
from lemonade_tf.objectives.objective import ObjectiveError
from lemonade_tf.search.asynchronous_search import asynchronous_evolution, run_slots
from lemonade_tf.search.estimate import (
    MIN_NETWORKS,
    Workload,
    estimate,
    estimate_search,
    time_networks,
)
from lemonade_tf.search.failures import BudgetError, SearchError
from lemonade_tf.search.graph_evolution import graph_evolution
from lemonade_tf.search.sizing import sized
from lemonade_tf.search.stream import Stream
from lemonade_tf.search.worker_processes import workers_text

if TYPE_CHECKING:
    from lemonade_tf.search.session import Session
    from lemonade_tf.search.time_budget import TimeBudget


def run_algorithm(session: Session) -> bool:
    """Run Algorithm 1, from the recorded part of the search on; return whether it is complete.

    Raises:
        SearchError: If no initial network could be trained, networks fail for a reason that is not
            theirs, or an objective has no value for a proposed network.
        StoreError: If a recorded file is damaged, or a file cannot be written.
    """
    setup = session.setup
    if setup.recorded:  # the search may have been killed before it wrote front.csv
        session.evaluator.front.write()
    session.reporter.begin_search()
    if not setup.recorded:
        session = _estimate(session)
    session.reporter.begin_training()
    with _objective_errors_end_the_search(setup.store.path):
        initial = _train_initial(session)
        run = _run_slots if setup.config.mode == "asynchronous" else _run_generations
        return run(session, initial)


def _estimate(session: Session) -> Session:
    """Report how long the search will take, unless it is a small one; or size it to its budget."""
    state, config = session.reporter.state, session.setup.config
    budgeted = session.setup.budgeted
    is_sized = config.training_images is not None and "training_images" in budgeted
    if session.stop.budget is not None and budgeted and not is_sized:
        return _size(session, session.stop.budget)
    timing = ", and timing training steps" if state.num_expected >= MIN_NETWORKS else ""
    session.reporter.announce(f"Starting {workers_text(session.executor)}{timing}.")
    state.estimate = estimate_search(
        session.setup, session.executor, deadline=session.stop.deadline
    )
    if state.estimate is not None:
        _announce_load(session)
        session.reporter.notify("on_estimate")
    return session


def _announce_load(session: Session) -> None:
    """Tell that times were measured on a busy machine, if they were measured on this one."""
    if session.setup.config.executor == "processes" and (note := busy_note()) is not None:
        session.reporter.announce(note)


def _size(session: Session, budget: TimeBudget) -> Session:
    """Size the search to its time budget.

    If no network can be timed, training one will tell why.

    Raises:
        BudgetError: If the time is too short.
    """
    setup, state = session.setup, session.reporter.state
    session.reporter.announce(f"Starting {workers_text(session.executor)}, and timing steps.")
    timings = time_networks(
        session.executor,
        [to_json(graph) for graph in setup.initial],
        objectives=setup.measured_objectives,
        deadline=session.stop.deadline,
    )
    seconds = budget.seconds_left
    spent = 60 * (setup.config.minutes or 0.0) - seconds
    if not timings and seconds <= 0:
        raise BudgetError(
            f"--minutes is {setup.config.minutes:g}; the workers have not timed a network within"
            f" {spent:.0f} s of the start. Give more."
        )
    if not timings:
        return session
    _announce_load(session)
    config, why = sized(
        setup.config,
        Workload.of(setup, session.executor),
        timings,
        seconds=seconds,
        spent=spent,
        num_images=len(setup.dataset.x_train),
        num_classes=setup.dataset.num_classes,
        budgeted=setup.budgeted,
    )
    session = session.resized(config)
    state.estimate = estimate(timings, Workload.of(session.setup, session.executor))
    session.reporter.announce(why)
    return session


def _train_initial(session: Session) -> list[Individual]:
    """Train the initial networks (generation 0) and return those that did not fail."""
    cheap = [objective for objective in session.setup.objectives if objective.cheap]
    individuals = [
        Individual(
            generation=0,
            attempt=number,
            parent=None,
            operators=session.setup.initial_operators(number),
            architecture=graph,
            cheap={objective.name: objective.value(graph) for objective in cheap},
        )
        for number, graph in enumerate(session.setup.initial)
    ]
    recorded = session.setup.history.networks
    num_new = sum(each.id not in recorded for each in individuals)
    if num_new:
        session.reporter.announce(f"Training {num_new} initial networks.")
    evaluations = {e.id: e for e in _evaluate_initial(session, individuals)}
    trained = [
        individual.with_evaluation(evaluations[individual.id])
        for individual in individuals
        if individual.id in evaluations and evaluations[individual.id].failure is None
    ]
    if trained:
        return trained
    if len(evaluations) == len(individuals):
        failures = "; ".join(f"{e.id}: {str(e.failure).rstrip('.')}" for e in evaluations.values())
        raise SearchError(
            f"no initial network could be trained. {failures}. Fix the cause, and start over in"
            " another --workdir."
        )
    if session.stop.is_requested():
        raise SearchError(
            "stopped by Ctrl-C before any initial network was trained; resume with"
            f" {resume_command(session.setup.store.path)}"
        )
    if session.setup.config.minutes is not None:
        minutes = session.setup.config.minutes
        raise SearchError(
            f"--minutes is {minutes:g}; no initial network was trained within that time. Resume"
            f" with more: {resume_command(session.setup.store.path)} --minutes {2 * minutes:g}"
        )
    hours = session.setup.config.max_hours or 0.0
    raise SearchError(
        f"--max_hours is {hours:g}; no initial network was trained within that time. Resume with"
        f" more, such as {resume_command(session.setup.store.path)} --max_hours {2 * hours:g}"
    )


def _evaluate_initial(session: Session, networks: list[Individual]) -> Iterator[Evaluation]:
    """Train the initial networks; in a replay, record them in the order of the replayed run."""
    if session.setup.order is None:
        yield from session.evaluator.evaluate(networks)
        return
    session.setup.order.check_initial(len(networks))
    recorded = session.setup.history.networks
    yield from (session.evaluator.recall(each) for each in networks if each.id in recorded)
    new = [each for each in networks if each.id not in recorded]
    if new:
        stream = Stream(session, len(recorded), propose=lambda: None)
        stream.add(new)
        yield from stream.run()


def _run_slots(session: Session, initial: list[Individual]) -> bool:
    """Run the slots of an asynchronous search that are left; return whether all are finished."""
    evolution = asynchronous_evolution(session, initial)
    if not session.setup.history.proposals:
        session.end_generation(evolution.population)
    complete = run_slots(session, evolution)
    while complete and _extend(session, evolution):
        complete = run_slots(session, evolution)
    if complete:
        session.measure(evolution.population)  # as until now, other networks were in training
    return complete


def _run_generations(session: Session, initial: list[Individual]) -> bool:
    """Run the generations that are left; return whether all are complete."""
    setup, start = session.setup, session.setup.history.start_generation
    evolution = graph_evolution(
        setup,
        initial,
        history=[i for i in setup.recorded.values() if 0 < i.generation < start],
        start_generation=start,
    )
    if start == 1:
        session.end_generation(evolution.population)
    complete = _evolve(session, evolution)
    while complete and _extend(session, evolution):
        complete = _evolve(session, evolution)
    if complete:
        session.measure(evolution.population)  # if the search was stopped while measuring
    return complete


def _extend(session: Session, evolution: Evolution | AsynchronousEvolution) -> bool:
    """Add generations, if a time budget is left after those that were planned."""
    budget, config = session.stop.budget, session.reporter.state.config
    if budget is None or "num_generations" not in session.setup.budgeted or session.stop.is_met():
        return False
    each = budget.mean_seconds
    if each is None or each > budget.seconds_left:
        return False
    seconds_per_generation = each * config.num_accepted / session.executor.num_workers
    more = max(1, int(budget.seconds_left / max(seconds_per_generation, 1e-3)))
    num_generations = config.num_generations + min(more, config.num_generations)
    session.resized(replace(config, num_generations=num_generations))
    evolution.extend(num_generations)
    return True


def _evolve(session: Session, evolution: Evolution) -> bool:
    """Run generation after generation; return whether all are complete."""
    num_generations = evolution.settings.num_generations
    if evolution.generation < num_generations and session.stop.is_met():
        return False
    for generation in evolve(
        evolution, session.evaluator.evaluate, on_proposed=session.begin_generation
    ):
        session.end_generation(generation.population)
        is_last = evolution.generation == num_generations
        if not generation.is_complete or (not is_last and session.stop.is_met()):
            return False
    return True


@contextmanager
def _objective_errors_end_the_search(workdir: Path) -> Iterator[None]:
    """End the search if an objective has no value for a proposed network.

    Leaving out the child would exclude all networks of its kind, so the search waits for the
    objective to be fixed.
    """
    try:
        yield
    except ObjectiveError as error:
        raise SearchError(
            f"{error} It was computed for a proposed network; fix the objective, then continue with"
            f" {resume_command(workdir)}"
        ) from error
