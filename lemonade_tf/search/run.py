"""A search under way: its folder, its state, and the evaluation of children.

Here the parts meet: `evolution` decides which children to train, an executor hands them to worker
processes, `store` keeps what comes back.

A child that fails is recorded and dropped. One whose process died is tried once more first, as
that may have been an accident; one that raised an exception or took too long is not, as it would
do so again. What would fail every child ends the search: the same failure three times in a row, or
a disk that is full.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.text import canonical_hash, same_architecture, to_json
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.errors import LemonadeError
from lemonade_tf.evolution import (
    Batch,
    Evaluation,
    Evolution,
    EvolutionSettings,
    Individual,
    evolve,
)
from lemonade_tf.executors import Executor, Outcome
from lemonade_tf.executors.devices import default_num_workers
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.monitoring.search_state import SearchState
from lemonade_tf.objectives.limits import exceeded
from lemonade_tf.objectives.objective import Objective, ObjectiveError
from lemonade_tf.search.child_tasks import ChildTasks
from lemonade_tf.search.estimate import (
    FEWEST_NETWORKS,
    Workload,
    estimate,
    measure,
    share_distilled,
)
from lemonade_tf.search.failures import FailureWatch
from lemonade_tf.search.front import Front
from lemonade_tf.search.interrupt import Unless
from lemonade_tf.search.measurements import Measurements
from lemonade_tf.search.network_files import NetworkFiles
from lemonade_tf.search.records import evaluation_of, network_record, proposal_record
from lemonade_tf.search.resume import individuals
from lemonade_tf.search.setup import Setup
from lemonade_tf.store import (
    HISTORY,
    PROPOSALS,
    FrontRow,
    NetworkRecord,
    StoreError,
    disk_error,
)
from lemonade_tf.workers.tasks import ChildTask


class SearchError(LemonadeError):
    """A search cannot go on; the message says why."""


class SearchRun:
    """A search under way: its folder, its state, and the evaluation of children.

    Args:
        setup: What it begins with, or goes on from.
        dataset: The images, of the first data set.
        callbacks: Told of the progress.
        started: When, as a value of `time.monotonic`.
        stop_requested: Asked before a child is handed to a worker, and after each generation.
    """

    def __init__(
        self,
        setup: Setup,
        dataset: Dataset,
        callbacks: Sequence[Callback],
        started: float,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        config = setup.config
        self.config, self.store, self.space = config, setup.store, setup.space
        self.initial, self.past = setup.initial, setup.past
        self.reference, self.further = setup.reference, tuple(setup.further)
        self.callbacks, self.started, self.stop_requested = callbacks, started, stop_requested
        self.objectives: tuple[Objective, ...] = tuple(setup.objectives)
        self.cheap = [o for o in self.objectives if o.cheap]
        self.expensive = [o.name for o in self.objectives if not o.cheap]
        self.limits = setup.limits
        errors = {"error", *(data.error for data in self.further)}
        measured = tuple(  # beside the errors, as workers find them
            name
            for name, o in zip(config.objectives, self.objectives, strict=True)
            if not o.cheap and o.name not in errors
        )
        self._tasks = ChildTasks(config.seed, self.store, setup.origins, measured, self.further)
        self.num_workers = config.workers or default_num_workers(config.threads)
        datasets = (dataset, *(data.dataset for data in self.further))
        self.workload = Workload(
            num_initial=len(self.initial),
            num_generations=config.num_generations,
            num_accepted=config.num_accepted,
            num_workers=self.num_workers,
            share_distilled=share_distilled(self.space),
            num_training_images=sum(len(data.x_train) for data in datasets),
            num_evaluated_images=sum(map(_num_evaluated, datasets)),
            settings=config.training,
            num_data_sets=len(datasets),
        )
        self.state = SearchState(
            config,
            self.store.path,
            num_expected=len(self.initial) + config.num_generations * config.num_accepted,
        )
        self.lineage_epochs: dict[str, int] = {}  # of training, from the initial network on
        self._past_individuals: dict[str, Individual] = {}
        columns = ["test_error", *(data.test_error for data in self.further)]
        self._front = Front(self.store, self.objectives, self.reference, columns)
        self._individuals: dict[str, Individual] = {}  # of the front
        names = [data.name for data in self.further]
        self._files = NetworkFiles(self.store, names, self.past.networks)
        self._failures = FailureWatch()
        self._measurements = Measurements(self.store, self._names(), config.latency_protocol)
        hours = config.max_hours
        self.deadline = None if hours is None else started + 3600 * hours
        self._recall_past()

    def _recall_past(self) -> None:
        """Bring the state to what is on record, and check the files of the front."""
        networks = self.past.networks
        self._past_individuals = individuals(self.past, self.initial, self.cheap, self.store)
        for record in networks.values():
            self._count(record)
        self._front.add(record for record in networks.values() if record.failure is None)
        self._tell_state_of_front(self._past_individuals)
        self.state.num_recalled = len(networks)
        self.state.generation = max((r.generation for r in networks.values()), default=0)
        for id_ in self.state.front:
            self._files.check(id_)
        self._files.expect(
            proposal.parent
            for proposal in self.past.proposals.get(self._start, ())
            if proposal.outcome == "accepted" and proposal.id not in networks
        )

    def _tell_state_of_front(self, individuals: Mapping[str, Individual]) -> None:
        self._individuals = {id_: individuals[id_] for id_ in self._front.members}
        self.state.front, self.state.hypervolume = self._front.members, self._front.hypervolume

    # --- Algorithm 1 -------------------------------------------------------------------------

    def evolve(self, executor: Executor) -> bool:
        """Run the search; return whether it ran to its end."""
        if self.past.networks:  # it may have been killed before it wrote what follows from them
            self._front.write()
        self.tell("on_search_begin")
        self._estimate(executor)
        initial = self._train_initial(executor)
        history = [i for i in self._past_individuals.values() if 0 < i.generation < self._start]
        evolution = Evolution(
            initial,
            propose=self._propose,
            cheap=self.cheap,
            settings=EvolutionSettings(
                num_generations=self.config.num_generations,
                num_proposed=self.config.num_proposed,
                num_accepted=self.config.num_accepted,
                sampling=self.config.sampling,
                max_redraws=self.config.max_redraws,
            ),
            seed=self.config.seed,
            canonical_hash=canonical_hash,
            same_architecture=same_architecture,
            exceeded=self._exceeded,
            history=history,
            start_generation=self._start,
        )
        generations = evolve(
            evolution, partial(self.evaluate, executor), on_proposed=self.begin_generation
        )
        complete = not self._has_to_stop() or self._start > self.config.num_generations
        with _mendable():
            for generation in generations if complete else ():
                self.end_generation(executor)
                complete = generation.is_complete
                is_last = generation.batch.generation == self.config.num_generations
                if not is_last and self._has_to_stop():
                    complete = False
                if not complete:
                    break
        if complete:
            self._measure_times(executor)  # what an interruption left out
        return complete

    def _propose(
        self, parent: Individual, rng: np.random.Generator
    ) -> tuple[Graph, tuple[dict[str, Any], ...]] | None:
        """Return a child's shapes and operators that apply on all data sets; None if none do."""
        made = self.space.propose(parent.architecture, rng=rng)
        if made is None or all(data.allows(parent.architecture, made[1]) for data in self.further):
            return made
        return None

    def _exceeded(self, child: Individual) -> dict[str, float]:
        return exceeded(self.limits, child.architecture, child.cheap)

    @property
    def _start(self) -> int:
        return self.past.start_generation

    def _estimate(self, executor: Executor) -> None:
        """Tell how long the search will take, unless that takes about as long itself."""
        if self.state.num_expected < FEWEST_NETWORKS or self.past.networks:
            return
        graphs = [to_json(graph) for graph in self.initial]
        timings = measure(
            executor,
            graphs,
            objectives=self._tasks.measured,
            num_workers=self.num_workers,
            deadline=self.deadline,
        )
        if timings:
            self.state.estimate = estimate(timings, self.workload)
            self.tell("on_estimate")

    def _train_initial(self, executor: Executor) -> list[Individual]:
        """Train the initial networks (generation 0) and return those that did not fail."""
        individuals = [
            Individual(
                generation=0,
                attempt=number,
                parent=None,
                operators=(),
                architecture=graph,
                cheap={c.name: c.value(graph) for c in self.cheap},
            )
            for number, graph in enumerate(self.initial)
        ]
        evaluations = {e.id: e for e in self.evaluate(executor, individuals)}
        trained = [
            i.with_evaluation(evaluations[i.id])
            for i in individuals
            if i.id in evaluations and evaluations[i.id].failure is None
        ]
        if not trained and len(evaluations) < len(individuals):
            if self.stop_requested():
                raise SearchError(
                    "stopped before an initial network was trained; go on with --resume."
                )
            raise SearchError(
                f"--max_hours, {self.config.max_hours:g}, passed before an initial network was"
                " trained; allow for more, and go on with --resume."
            )
        if not trained:
            failures = "; ".join(f"{e.id}: {e.failure.rstrip('.')}" for e in evaluations.values())
            raise SearchError(
                f"no initial network could be trained. {failures}. There is nothing to go on from:"
                " mend the cause, and begin anew in another --workdir."
            )
        if self._start == 1:
            self.end_generation(executor)
        return trained

    def begin_generation(self, batch: Batch) -> None:
        """Record the proposals of a generation."""
        self.state.generation = number = batch.generation
        records = [proposal_record(p) for p in batch.proposals]
        before = list(self.past.proposals.get(number, ()))
        if before != [record.as_stored() for record in records[: len(before)]]:
            raise StoreError(
                f"{self.store.path / PROPOSALS} has other children for generation {number} than"
                " this version of lemonade_tf, or of NumPy, proposes; go on with the versions in"
                " config.json."
            )
        if not before:
            self.store.proposals.append(records)
        elif len(before) < len(records):  # the search was killed while it wrote them
            earlier = (self.past.proposals[g] for g in sorted(self.past.proposals) if g < number)
            self.store.proposals.replace([*chain(*earlier), *records])
        self.tell("on_generation_begin", batch.proposals)

    def evaluate(self, executor: Executor, children: Sequence[Individual]) -> Iterator[Evaluation]:
        """Train children, or networks from scratch, and put them on record as they are done.

        Those that are on record, as the search was resumed, are not trained again.
        """
        by_id = {child.id: child for child in children}
        known = [child for child in children if child.id in self.past.networks]
        new = [child for child in children if child.id not in self.past.networks]
        if new:
            self._files.expect(child.parent for child in new)
        for child in known:
            yield self._recall(child)
        again: list[Outcome] = []
        for outcome in self._train(executor, new):
            if outcome.cause == "died":
                again.append(outcome)
            else:
                yield self._record(by_id[outcome.task.id], outcome)
        first = {outcome.task.id: outcome.failure for outcome in again}
        for outcome in self._train(executor, [by_id[id_] for id_ in first]):
            yield self._record(by_id[outcome.task.id], outcome, first[outcome.task.id])

    def _train(self, executor: Executor, children: Sequence[Individual]) -> Iterator[Outcome]:
        tasks = [self._task(child) for child in children]
        return executor.run(Unless(self.stop_requested, tasks), deadline=self.deadline)

    def _task(self, individual: Individual) -> ChildTask:
        if individual.parent is not None:
            self._files.check(individual.parent)
        return self._tasks.task(individual)

    # --- What comes back ---------------------------------------------------------------------

    def _recall(self, individual: Individual) -> Evaluation:
        """Return the evaluation that is on record."""
        record = self.past.networks[individual.id]
        if canonical_hash(individual.architecture) != record.architecture_hash:
            raise StoreError(
                f"{self.store.path / HISTORY}: the network {individual.id} is another one than"
                " this version of lemonade_tf, or of NumPy, proposes; go on with the versions in"
                " config.json."
            )
        if record.failure is not None:
            return Evaluation(individual.id, failure=record.failure)
        return Evaluation(individual.id, {n: record.objectives[n] for n in self.expensive})

    def _record(
        self, individual: Individual, outcome: Outcome, first_failure: str | None = None
    ) -> Evaluation:
        """Put a trained or failed network on record."""
        full = disk_error(self.store.path / "staging", outcome.errno)
        if full is not None:
            raise full
        evaluation = evaluation_of(individual.id, outcome).checked(self.expensive)
        failed = evaluation.failure is not None
        objectives = {**evaluation.expensive, **individual.cheap}
        record = network_record(
            individual,
            evaluation,
            outcome,
            {name: objectives.get(name) for name in self._names()},
            {} if failed else self._files.adopt(individual.id),
            parent_epochs=self.lineage_epochs.get(individual.parent or "", 0),
            first_failure=first_failure,
        )
        self.store.history.append([record])
        self._count(record)
        if not failed and self._front.add([record]):
            self._front.write()
            new = {individual.id: individual.with_evaluation(evaluation)}
            self._tell_state_of_front({**self._individuals, **new})
        self._files.settle(individual.id)
        self._files.done(individual.parent)
        self._discard()
        self._update_clock()
        self.tell("on_network_end", record)
        told = self._failures.note(individual.id, outcome)
        if told is not None:
            raise SearchError(
                f"{told}. See {self.store.path / 'logs'}; mend the cause, then go on with --resume."
            )
        return evaluation

    def _count(self, record: NetworkRecord) -> None:
        self.lineage_epochs[record.id] = record.lineage_epochs
        if record.failure is None:
            self.state.num_trained += 1
        else:
            self.state.num_failed += 1

    def _names(self) -> list[str]:
        return [o.name for o in self.objectives]

    def _discard(self) -> None:
        if not self.config.keep_all:
            self._files.discard(self.state.front)

    def end_generation(self, executor: Executor) -> None:
        """Have the front measured, which is the population now, and tell that it was updated."""
        self._measure_times(executor)
        self.tell("on_generation_end")

    def _measure_times(self, executor: Executor) -> None:
        self._measurements.take(executor, self._individuals.values(), self._has_to_stop)

    def rows(self) -> list[FrontRow]:
        """Return the rows of front.csv, from the smallest network on."""
        return self._front.rows()

    def end(self) -> None:
        """Leave the folder complete, however the search ended."""
        try:
            self._update_clock()
            self._discard()
            self.store.models.clear_staging()
        finally:
            try:
                self.tell("on_search_end")
            finally:
                self.store.release()

    # --- Helpers -----------------------------------------------------------------------------

    def _update_clock(self) -> None:
        state = self.state
        state.seconds = time.monotonic() - self.started
        total = state.num_trained + state.num_failed
        if total > state.num_recalled:
            pace = state.seconds / (total - state.num_recalled)
            left = max(0, state.num_expected - total) * pace
            if self.deadline is not None:
                left = min(left, max(0.0, self.deadline - time.monotonic()))
            state.seconds_left = left

    def _has_to_stop(self) -> bool:
        out_of_time = self.deadline is not None and time.monotonic() >= self.deadline
        return out_of_time or self.stop_requested()

    def tell(self, event: str, *arguments: Any) -> None:
        """Tell the callbacks of an event: the name of their method, and what comes after state."""
        for callback in self.callbacks:
            getattr(callback, event)(self.state, *arguments)


@contextmanager
def _mendable() -> Iterator[None]:
    """End the search if an objective has no value for a proposed network.

    To leave out the child would leave out its kind for good, so the search waits for the objective
    to be mended.

    Raises:
        SearchError: An ObjectiveError was raised.
    """
    try:
        yield
    except ObjectiveError as error:
        raise SearchError(
            f"{error} It was asked of a network that was proposed; mend the objective, then go on"
            " with --resume."
        ) from error


def _num_evaluated(dataset: Dataset) -> int:
    """Return on how many images of a data set a trained network is evaluated."""
    return len(dataset.x_validation) + (0 if dataset.x_test is None else len(dataset.x_test))
