"""The asynchronous mode of a search: no worker waits for the children of others.

`evolution.asynchronous` proposes children, and a `Stream` trains them; this module passes the
children of the one to the other, and the evaluations back. It does so in one thread, so the run
folder tells the order of all proposals and evaluations. A search that was killed continues from
there: its evaluations are reported again, and accepted children without one are trained first. Its
last slot is proposed once more, which completes its record if it was killed while writing it, and
verifies that this version of the package proposes the same children.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lemonade_tf.evolution import AsynchronousEvolution, Batch, Individual, Slot
from lemonade_tf.search.graph_evolution import graph_evolution
from lemonade_tf.search.stream import Stream

if TYPE_CHECKING:
    from lemonade_tf.search.session import Session


def asynchronous_evolution(
    session: Session, initial: Sequence[Individual]
) -> AsynchronousEvolution:
    """Return the evolution at the start of a search, or in the state that its folder tells.

    Args:
        session: The search.
        initial: The initial networks, evaluated.

    Raises:
        StoreError: If this version proposes other children than the recorded ones.
    """
    setup, proposed = session.setup, session.setup.history.proposed
    if not proposed:
        start = Slot(0, 0, num_evaluated=len(setup.initial))
        return AsynchronousEvolution(graph_evolution(setup, initial), start)
    last = proposed[-1].slot
    if last is None:
        raise AssertionError("`recorded_slots.check_slots` accepted a proposal without a slot")
    recorded = list(setup.recorded.values())
    before, after = recorded[: last.num_evaluated], recorded[last.num_evaluated :]
    awaited = {**{i.id: replace(i, expensive={}) for i in after}, **setup.pending}
    earlier = [p.id for p in proposed if p.outcome == "accepted" and p.slot != last]
    evolution = graph_evolution(
        setup,
        initial,
        history=[individual for individual in before if individual.generation],
        pending=[awaited[id_] for id_ in earlier if id_ in awaited],
        start_generation=proposed[-1].generation + 1,
    )
    continued = AsynchronousEvolution(evolution, Slot(**vars(last)))
    batch = continued.propose()
    session.evaluator.record_proposals(batch)
    session.evaluator.expect(child for child in batch.accepted if child.id not in awaited)
    proposed_again = {child.id: child for child in continued.pending}
    for individual in after:
        continued.report(session.evaluator.recall(proposed_again[individual.id]))
    return continued


def run_slots(session: Session, evolution: AsynchronousEvolution) -> bool:
    """Train a child for each slot that is left; return whether all are finished."""
    return _Slots(session, evolution).run()


class _Slots:
    """Proposes children for the slots of a search, and reports them."""

    def __init__(self, session: Session, evolution: AsynchronousEvolution) -> None:
        self._session, self._evolution = session, evolution
        self._order = session.setup.order
        self._stream = Stream(session, evolution.next_slot.num_evaluated, self._propose)
        self._num_ended = self._num_generations_finished

    def run(self) -> bool:
        if self._is_complete or self._session.stop.is_met():
            return self._is_complete
        self._end_generations()
        self._stream.add(self._evolution.pending)
        self._propose_due()
        for evaluation in self._stream.run():
            self._evolution.report(evaluation)
            self._propose_due()
            self._end_generations()
        return self._is_complete

    @property
    def _is_complete(self) -> bool:
        return not self._evolution.has_slots and not self._evolution.pending

    @property
    def _num_generations_finished(self) -> int:
        return self._evolution.num_finished // self._evolution.settings.num_accepted

    def _propose(self) -> Individual | None:
        """Propose a child for a free worker; a replay has done so when it was due."""
        while self._order is None and self._evolution.has_slots:
            accepted = self._begin_slot().accepted
            if accepted:
                return accepted[0]
            self._end_generations()
            if self._evolution.pending:
                return None  # rather than spend more slots on a population that will change
        return None

    def _propose_due(self) -> None:
        """In a replay, propose the children that were proposed in the current state."""
        order, evolution = self._order, self._evolution
        while order is not None and evolution.has_slots and order.is_due(evolution.next_slot):
            self._stream.add(self._begin_slot().accepted)

    def _begin_slot(self) -> Batch:
        """Propose children for the next slot, and record them."""
        number = self._evolution.next_slot.number
        batch = self._evolution.propose()
        if self._order is not None:
            self._order.check_batch(batch, number)
        self._session.evaluator.record_proposals(batch)
        self._session.evaluator.expect(batch.accepted)
        self._session.reporter.notify("on_generation_begin", batch.proposals)
        return batch

    def _end_generations(self) -> None:
        """Report a generation whenever as many children as it has are finished."""
        reporter = self._session.reporter
        while self._num_ended < self._num_generations_finished:
            self._num_ended += 1
            reporter.state.generation = self._num_ended
            reporter.notify("on_generation_end")
        num_generations = self._evolution.settings.num_generations
        reporter.state.generation = min(self._num_ended + 1, num_generations)
