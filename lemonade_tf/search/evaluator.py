"""Train children in workers, and record their results.

A child that fails is recorded and dropped. If its process died, it is first retried once, because
the cause may have been temporary; a child that raised an exception or timed out would do so again.
A cause that would fail every child ends the search: the same failure several times in a row, or a
full disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.errors import resume_command
from lemonade_tf.evolution import Batch, Evaluation, Individual
from lemonade_tf.search.child_tasks import ChildTasks
from lemonade_tf.search.failures import FailureWatch, SearchError
from lemonade_tf.search.network_files import NetworkFiles
from lemonade_tf.search.outcome_records import (
    evaluation_of,
    network_record,
    proposal_record,
    ranked_errors,
)
from lemonade_tf.search.running_front import Front
from lemonade_tf.search.stopping import StopCondition, StoppableTasks
from lemonade_tf.store import HISTORY, PROPOSALS, NetworkRecord, StoreError, disk_error

if TYPE_CHECKING:
    from lemonade_tf.executors import Executor, Outcome
    from lemonade_tf.search.setup import Setup
    from lemonade_tf.workers.tasks import ChildTask

_OTHER_VERSION = (
    "this version of lemonade_tf or NumPy proposes; resume with the versions in config.json."
)


class ChildEvaluator:
    """Trains networks in workers and records them in the run folder.

    Args:
        setup: The run.
        executor: Its workers train the networks.
        stop: When to start no more networks.
        on_network_end: Called with the record of each network, and the front.

    Attributes:
        front: The Pareto front of the networks so far.

    Raises:
        StoreError: If a file of a recorded network of the front is missing or damaged.
    """

    def __init__(
        self,
        setup: Setup,
        executor: Executor,
        stop: StopCondition,
        on_network_end: Callable[[NetworkRecord, Front], None],
    ) -> None:
        self._setup, self._store, self._history = setup, setup.store, setup.history
        self._executor, self._stop, self._on_network_end = executor, stop, on_network_end
        self._objectives = [objective.name for objective in setup.objectives]
        self._expensive = [o.name for o in setup.objectives if not o.cheap]
        self._tasks = ChildTasks.of(setup)
        self._failures = FailureWatch()
        recorded = self._history.networks
        self._lineage_epochs = {id_: record.lineage_epochs for id_, record in recorded.items()}
        extra = setup.extra_datasets
        columns = ["test_error", *(each.test_error for each in extra)]
        self.front = Front(self._store, setup.objectives, setup.reference_point, columns)
        trained = [record for record in recorded.values() if record.failure is None]
        has_children = any(record.generation for record in trained)
        # They are the population, and their files are needed, until a child has been trained.
        self._initial = [] if has_children else [record.id for record in trained]
        self._files = NetworkFiles(self._store, [each.name for each in extra], recorded)
        self.front.add(trained)
        for id_ in self.front.members:
            self._files.check(id_)
        self._files.expect(proposal.parent for proposal in self._history.pending)

    def resize(self, setup: Setup) -> None:
        """Train with the settings of another setup of the run, before the first network."""
        self._setup, self._tasks = setup, ChildTasks.of(setup)

    def record_proposals(self, batch: Batch) -> None:
        """Record the proposals of a generation or a slot, before its children are trained.

        Raises:
            StoreError: If they differ from those recorded before the search was resumed.
        """
        records = [proposal_record(proposal, batch.slot) for proposal in batch.proposals]
        recorded = [
            record
            for record in self._history.proposals.get(batch.generation, ())
            if record.slot is None or records[0].slot == record.slot
        ]
        if recorded != [record.as_stored() for record in records[: len(recorded)]]:
            raise StoreError(
                f"{self._store.path / PROPOSALS} has different children for generation"
                f" {batch.generation} than {_OTHER_VERSION}"
            )
        if not recorded:
            self._store.proposals.append(records)
        elif len(recorded) < len(records):  # the search was killed while writing them
            earlier = self._history.proposed[: -len(recorded)]
            self._store.proposals.replace([*earlier, *records])

    def expect(self, children: Iterable[Individual]) -> None:
        """Keep the files of the parents of children that will be trained."""
        for child in children:
            self._files.expect_child(child.parent)

    def evaluate(self, children: Sequence[Individual]) -> Iterator[Evaluation]:
        """Train children, or initial networks, and record each when it is done.

        Networks that were recorded before the search was resumed are not trained again.

        Yields:
            The evaluations; fewer than children if the search has to stop.

        Raises:
            SearchError: If networks fail for a reason that is not theirs.
            StoreError: If a file cannot be written, or a recorded network differs from the child.
        """
        recorded = [child for child in children if child.id in self._history.networks]
        new = {child.id: child for child in children if child.id not in self._history.networks}
        if new:
            self._files.expect(child.parent for child in new.values())
        for child in recorded:
            yield self.recall(child)
        died: dict[str, str | None] = {}  # the failures of those to try again
        for outcome in self._train(list(new.values())):
            if outcome.cause == "died":
                died[outcome.task.id] = outcome.failure
            else:
                yield self.record(new[outcome.task.id], outcome)
        for outcome in self._train([new[id_] for id_ in died]):
            id_ = outcome.task.id
            yield self.record(new[id_], outcome, first_failure=died[id_])

    def clean_up(self) -> None:
        """Remove files that are not needed any more, when no worker is running."""
        self._discard()
        self._store.models.remove_staging()

    def _train(self, children: Sequence[Individual]) -> Iterator[Outcome]:
        if not children:
            return iter(())
        graphs = {child.id: child.architecture for child in children}
        tasks = StoppableTasks(
            [self.task(child) for child in children],
            self._stop.is_requested,
            lambda task: self._stop.allows(graphs[task.id]),
        )
        return self._executor.run(tasks, deadline=self._stop.deadline)

    def task(self, individual: Individual) -> ChildTask:
        """Return the task that trains a network.

        Raises:
            StoreError: If the file that it starts from is missing or damaged.
        """
        if individual.parent is not None:
            self._files.check(individual.parent)
        return self._tasks.task(individual)

    def recall(self, individual: Individual) -> Evaluation:
        """Return the evaluation of a network that was recorded before the search was resumed.

        Raises:
            StoreError: If the recorded network differs.
        """
        record = self._history.networks[individual.id]
        if canonical_hash(individual.architecture) != record.architecture_hash:
            raise StoreError(
                f"{self._store.path / HISTORY}: the network {individual.id} differs from the one"
                f" that {_OTHER_VERSION}"
            )
        if record.failure is not None:
            return Evaluation(individual.id, failure=record.failure)
        values = record.ranked_objectives
        return Evaluation(individual.id, {name: values[name] for name in self._expensive})

    def record(
        self, individual: Individual, outcome: Outcome, first_failure: str | None = None
    ) -> Evaluation:
        """Record a network that was trained, or failed.

        Args:
            individual: The network.
            outcome: The outcome of its task.
            first_failure: The failure of an earlier attempt.

        Raises:
            SearchError: If networks fail for a reason that is not theirs, or the result differs
                from that of the replayed run.
            StoreError: If a file cannot be written.
        """
        full = disk_error(self._store.models.staging, outcome.errno)
        if full is not None:
            raise full
        if self._stop.budget is not None and outcome.failure is None:
            self._stop.budget.note(individual.architecture, outcome.seconds)
        measured = evaluation_of(individual.id, outcome).checked(self._expensive)
        failed = measured.failure is not None
        breaks_ties = self._setup.config.tie_break == "cross_entropy"
        ranked = ranked_errors(outcome) if breaks_ties and not failed else {}
        evaluation = replace(measured, expensive={**measured.expensive, **ranked})
        if self._setup.order is not None:
            self._setup.order.check_evaluation(evaluation)
        objectives = {**measured.expensive, **individual.cheap}
        record = network_record(
            individual,
            evaluation,
            outcome,
            {name: objectives.get(name) for name in self._objectives},
            {} if failed else self._files.adopt(individual.id),
            ranked_errors=ranked,
            parent_epochs=self._inherited_epochs(individual),
            first_failure=first_failure,
        )
        self._store.history.append([record])
        self._lineage_epochs[record.id] = record.lineage_epochs
        if not failed:
            self._initial = [] if individual.generation else [*self._initial, individual.id]
            if self.front.add([record]):
                self.front.write()
        self._files.settle(individual.id)
        self._files.done(individual.parent)
        self._discard()
        self._on_network_end(record, self.front)
        reason = self._failures.note(individual.id, outcome)
        if reason is not None:
            raise SearchError(
                f"{reason.removesuffix('.')}. See {self._store.path / 'logs'}; fix the cause, then"
                f" continue with {resume_command(self._store.path)}"
            )
        return evaluation

    def _inherited_epochs(self, individual: Individual) -> int:
        """Return for how many epochs the weights were trained that a network starts from."""
        if self._setup.config.inheritance == "none":
            return 0
        return self._lineage_epochs.get(individual.parent or "", 0)

    def _discard(self) -> None:
        if not self._setup.config.keep_all:
            self._files.discard([*self.front.members, *self._initial])
