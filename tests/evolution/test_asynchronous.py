"""Proposing one child per free worker, and resuming from the recorded order."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_evolution import append, error, evolution, initial_networks, propose

from lemonade_tf.evolution import (
    AsynchronousEvolution,
    Evaluation,
    EvolutionSettings,
    NoChildError,
    Slot,
)

SETTINGS = EvolutionSettings(num_generations=3, num_proposed=8, num_accepted=3, max_redraws=2)
INITIAL = initial_networks([(1,), (4, 4), (5, 3), (9, 9, 9)])  # (5, 3) dominates (4, 4)
START = Slot(0, 0, num_evaluated=len(INITIAL))


def asynchronous(next_slot=START, **changes):
    given = {"settings": SETTINGS, **changes}
    return AsynchronousEvolution(evolution(INITIAL, **given), next_slot)


def evaluated(child, fails=False):
    if fails:
        return Evaluation(child.id, failure="out of memory")
    return Evaluation(child.id, {"error": error(child.architecture)})


class Live:
    """A search that notes what a run folder records: its batches and evaluations, in order."""

    def __init__(self, **changes):
        self.changes = changes
        self.evolution = asynchronous(**changes)
        self.batches, self.evaluations = [], []

    def propose(self):
        self.batches.append(self.evolution.propose())

    def report(self, number, fails):
        child = self.evolution.pending[number % len(self.evolution.pending)]
        self.evaluations.append(evaluated(child, fails))
        self.evolution.report(self.evaluations[-1])

    def rebuilt(self):
        """Return the evolution that a resumed search makes of the records."""
        if not self.batches:
            return asynchronous(**self.changes)
        *earlier, last = self.batches
        accepted = {child.id: child for batch in self.batches for child in batch.accepted}
        num_reported = last.slot.num_evaluated - len(INITIAL)
        before, after = self.evaluations[:num_reported], self.evaluations[num_reported:]
        reported = {evaluation.id for evaluation in before}
        found = asynchronous(
            last.slot,
            **self.changes,
            history=[accepted[e.id].with_evaluation(e) for e in before],
            pending=[c for batch in earlier for c in batch.accepted if c.id not in reported],
            start_generation=last.generation + 1,
        )
        assert found.propose() == last
        for evaluation in after:
            found.report(evaluation)
        return found


def rest(subject):
    """Finish a search with one worker; return all that it proposes, and its last population."""
    batches = []
    while subject.has_slots or subject.pending:
        for child in subject.pending:
            subject.report(evaluated(child))
        if subject.has_slots:
            batches.append(subject.propose())
    return batches, subject.population


def fussy(parent, *, rng):
    """Propose a child, or none for every second draw, as where no operator applies."""
    return None if rng.integers(2) else propose(parent, rng=rng)


STEPS = st.lists(st.tuples(st.integers(-1, 3), st.sampled_from([False, False, True])), max_size=25)


@settings(deadline=None, max_examples=60)
@given(STEPS, st.sampled_from([propose, append, fussy]), st.integers(0, 9))
def test_an_evolution_rebuilt_from_its_records_equals_the_live_one(steps, propose, seed):
    """Whatever the order of proposals and reports, and wherever the search is killed."""
    live = Live(propose=propose, seed=seed)
    for number, fails in steps:
        if number >= 0 and live.evolution.pending:
            live.report(number, fails)
        elif live.evolution.has_slots:
            live.propose()
        found = live.rebuilt()
        assert found.next_slot == live.evolution.next_slot
        assert found.population == live.evolution.population
        assert found.pending == live.evolution.pending
        assert found.num_finished == live.evolution.num_finished
    assert rest(live.rebuilt()) == rest(live.evolution)


def test_each_slot_has_a_share_of_the_proposals_and_one_child():
    subject = asynchronous(propose=append)
    batches, _ = rest(subject)
    assert [batch.slot.number for batch in batches] == list(range(9))
    assert [batch.generation for batch in batches] == [1] * 3 + [2] * 3 + [3] * 3
    for batch in batches:
        assert len(batch.proposals) == 3  # 8 / 3, rounded up
        assert len(batch.accepted) == 1
    attempts = [[p.individual.attempt for p in b.proposals] for b in batches]
    assert attempts == [[0, 1, 2], [3, 4, 5], [6, 7, 8]] * 3
    assert [b.slot.first_attempt for b in batches] == [0, 3, 6] * 3
    assert [b.slot.num_evaluated for b in batches] == list(range(4, 13))
    assert subject.num_finished == 9


def test_a_child_is_proposed_from_what_was_reported_before():
    """Two are pending when the third is proposed; its parent is an initial network."""
    subject = asynchronous(propose=append)
    first, second, third = (subject.propose() for _ in range(3))
    assert {b.slot.num_evaluated for b in (first, second, third)} == {4}
    parents = {p.individual.parent for b in (first, second, third) for p in b.proposals}
    assert parents <= {i.id for i in INITIAL}
    subject.report(Evaluation(second.accepted[0].id, {"error": -1}))
    assert subject.propose().slot.num_evaluated == 5
    assert second.accepted[0] in [replace(i, expensive={}) for i in subject.population]


def test_the_order_of_reports_between_two_proposals_changes_nothing():
    found = []
    for order in ([0, 1], [1, 0]):
        subject = asynchronous()
        children = [subject.propose().accepted[0] for _ in range(2)]
        for number in order:
            subject.report(evaluated(children[number]))
        found.append(rest(subject))
    assert found[0] == found[1]


def test_a_slot_without_an_allowed_child_is_spent():
    subject = asynchronous(exceeded=lambda child: {"parameters": 1})
    batches, population = rest(subject)
    assert [batch.accepted for batch in batches] == [()] * 9
    assert all(batch.proposals for batch in batches)
    assert subject.num_finished == 9
    assert len(population) == 4


def test_a_slot_is_drawn_again_until_an_operator_applies():
    batches, _ = rest(asynchronous(propose=fussy, settings=replace(SETTINGS, num_proposed=3)))
    assert all(batch.proposals for batch in batches)


def test_a_population_without_children_is_an_error():
    with pytest.raises(NoChildError, match="no operator applied to any of the 900 parents"):
        asynchronous(propose=lambda parent, rng: None).propose()


def test_pending_children_must_precede_the_start_generation():
    [child] = asynchronous().propose().accepted
    with pytest.raises(ValueError, match="history before generation 1; expected gen"):
        evolution(pending=[child])
