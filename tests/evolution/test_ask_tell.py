"""Proposing children and reporting them, at any time and in any order."""

import dataclasses
from collections import Counter, deque

import numpy as np
import pytest
from toy_evolution import (
    DEPTH,
    SMALL,
    append,
    evaluate,
    evolution,
    evolved,
    initial_networks,
)

from lemonade_tf.evolution import Evaluation, EvolutionSettings, evolve, pareto_front
from lemonade_tf.objectives import ObjectiveError

# --- Reports ---------------------------------------------------------------------------------


def test_the_order_of_reports_does_not_matter():
    rng = np.random.default_rng(0)
    shuffled = evolution()
    for generation in evolved():
        assert shuffled.propose() == generation.batch
        for evaluation in rng.permutation(evaluate(shuffled.pending)):
            shuffled.report(evaluation)
        assert shuffled.population == generation.population


def test_of_equal_children_the_oldest_stays_even_if_it_is_reported_last():
    def of_equal_size(parent, rng):
        width = int(rng.integers(1, 10**6))
        return (width, 10**6 - width), []

    subject = evolution(propose=of_equal_size)
    first, second, *_ = subject.propose().accepted
    for child in (second, first):
        subject.report(Evaluation(child.id, {"error": 0}))
    equal = [i.id for i in subject.population if i.cheap["parameters"] == 10**6]
    assert equal == [first.id]


def test_the_population_contains_reported_children_only():
    subject = evolution(propose=append)
    batch = subject.propose()
    assert subject.pending == batch.accepted
    assert {i.id for i in subject.population} <= {i.id for i in initial_networks()}
    [first, *rest] = batch.accepted
    subject.report(Evaluation(first.id, {"error": 0}))
    assert first.id in {i.id for i in subject.population}
    assert subject.pending == tuple(rest)


def test_a_late_report_counts_from_then_on():
    """A child of the first batch is reported after the second batch was proposed."""
    subject = evolution(propose=append)
    [late, *others] = subject.propose().accepted
    for evaluation in evaluate(others):
        subject.report(evaluation)
    second = subject.propose()
    assert late.id not in {p.individual.parent for p in second.proposals}
    subject.report(Evaluation(late.id, {"error": -1}))
    for evaluation in evaluate(second.accepted):
        subject.report(evaluation)
    parents = {p.individual.parent for _ in range(5) for p in subject.propose().proposals}
    assert late.id in parents


def test_a_failed_child_leaves_the_population_unchanged():
    subject = evolution(propose=append)
    before = subject.population
    for child in subject.propose().accepted:
        evaluation = subject.report(Evaluation(child.id, {"error": float("nan")}))
        assert evaluation.failure == "error is nan"
    assert subject.population == before
    assert subject.pending == ()


def test_a_report_that_is_refused_leaves_the_child_pending():
    subject = evolution()
    [child, *_] = subject.propose().accepted
    with pytest.raises(ValueError, match=r"objectives \['loss'\]; expected \['error'\]"):
        subject.report(Evaluation(child.id, {"loss": 1}))
    assert child in subject.pending
    subject.report(Evaluation(child.id, {"error": 1}))
    with pytest.raises(ValueError, match=f"{child.id}' was reported and is not pending"):
        subject.report(Evaluation(child.id, {"error": 1}))


# --- Generational and asynchronous use -------------------------------------------------------


def test_a_generation_waits_for_all_its_children():
    """`evolve` proposes the next batch when nothing is pending."""
    subject = evolution()
    pending = []
    for generation in evolve(subject, evaluate, on_proposed=lambda _: pending.append(1)):
        assert subject.pending == ()
        assert len(pending) == generation.batch.generation


def _asynchronously(num_workers, num_children, *, seed=7):
    """Evaluate one child per worker, propose another whenever one is done; return all children.

    The workers finish in an order drawn at random.
    """
    subject = evolution(settings=EvolutionSettings(10**6, 3, 1), seed=seed)
    rng = np.random.default_rng(seed)
    children, running = [], deque()
    while len(children) < num_children or running:
        while len(running) < num_workers and len(children) < num_children:
            proposed = subject.propose().accepted
            children += proposed
            running += proposed
        running.rotate(int(rng.integers(num_workers)))
        [evaluation] = evaluate([running.popleft()])
        subject.report(evaluation)
    return children, subject


def test_asynchronous_use_is_a_valid_sequence():
    children, subject = _asynchronously(num_workers=4, num_children=60)
    networks = [*initial_networks(), *children]
    assert len({i.id for i in networks}) == len(networks) == 63
    assert [child.generation for child in children] == sorted({c.generation for c in children})
    known = {i.id for i in initial_networks()}
    for child in children:
        assert child.parent in known
        known.add(child.id)
    errors = [e.expensive["error"] for e in evaluate(networks)]
    points = [(error, i.cheap["parameters"]) for error, i in zip(errors, networks, strict=True)]
    front = [networks[index].id for index in pareto_front(points, keep_equal=False)]
    assert [i.id for i in subject.population] == front


def test_asynchronous_use_can_be_replayed():
    first, _ = _asynchronously(4, 40)
    again, _ = _asynchronously(4, 40)
    assert again == first
    assert _asynchronously(4, 40, seed=8)[0] != first


def test_a_pending_architecture_is_not_accepted_twice():
    """Not even if it is the only one that can be proposed."""
    subject = evolution(propose=lambda parent, rng: ((5, 5), []))
    [child] = subject.propose().accepted
    assert subject.propose().accepted == ()
    subject.report(Evaluation(child.id, {"error": 1}))
    [repeated] = subject.propose().accepted
    assert repeated.architecture == child.architecture
    # Its copy is pending now.
    batch = subject.propose()
    assert batch.accepted == ()
    assert {p.duplicate_of for p in batch.proposals} == {child.id}
    subject.report(Evaluation(repeated.id, {"error": 1}))
    assert len(subject.propose().accepted) == 1


# --- Duplicates ------------------------------------------------------------------------------


def test_no_architecture_is_evaluated_twice():
    generations = list(evolved())
    graphs = [i.architecture for i in initial_networks()]
    graphs += [child.architecture for g in generations for child in g.children]
    assert len(graphs) == len(set(graphs))


def test_duplicates_name_what_they_repeat():
    generations = list(evolved())
    architecture_of = {i.id: i.architecture for i in initial_networks()}
    num_duplicates = 0
    for generation in generations:
        children = [p.individual for p in generation.batch.proposals]
        architecture_of |= {child.id: child.architecture for child in children}
        number = generation.batch.generation
        accepted = {child.id for g in generations[: number - 1] for child in g.batch.accepted}
        for proposal in generation.batch.proposals:
            if proposal.duplicate_of is None:
                assert proposal.outcome != "duplicate"
                continue
            num_duplicates += 1
            assert architecture_of[proposal.duplicate_of] == proposal.individual.architecture
            here = proposal.duplicate_of.startswith(f"{number}-")
            assert here or proposal.duplicate_of in accepted | {i.id for i in initial_networks()}
            assert not here or proposal.outcome == "duplicate"
    assert num_duplicates > 10


@pytest.mark.parametrize("max_redraws", [0, 3])
def test_resampling_is_bounded(max_redraws):
    settings = dataclasses.replace(SMALL, num_generations=2, max_redraws=max_redraws)
    same_child = evolved(settings=settings, propose=lambda parent, rng: ((5, 5), []))
    first, second = same_child
    assert first.batch.num_attempts == 1 + 11 * (1 + max_redraws)
    assert Counter(p.outcome for p in first.batch.proposals) == {
        "accepted": 1,
        "duplicate": 11 * (1 + max_redraws),
    }
    # An architecture of an earlier generation is evaluated again if no other child is found.
    assert second.batch.num_attempts == 12 * (1 + max_redraws)
    assert Counter(p.outcome for p in second.batch.proposals) == {
        "accepted": 1,
        "duplicate": 12 * (1 + max_redraws) - 1,
    }
    [repeated] = [p for p in second.batch.proposals if p.outcome == "accepted"]
    assert repeated.duplicate_of == "1-0"
    assert repeated.individual.id == f"2-{max_redraws}"
    assert second.is_complete


def test_initial_networks_over_a_limit_are_parents_until_there_is_a_child_within():
    initial = initial_networks(((9, 9, 9), (30, 9)))
    subject = evolution(
        initial, exceeded=lambda i: {"parameters": 9} if i.cheap["parameters"] > 20 else {}
    )
    assert [i.id for i in subject.population] == ["0-0", "0-1"]
    accepted = []
    while not accepted:
        accepted = subject.propose().accepted
    assert [i.id for i in subject.population] == ["0-0", "0-1"]
    for evaluation in evaluate(accepted):
        subject.report(evaluation)
    assert subject.population
    assert all(i.generation and i.cheap["parameters"] <= 20 for i in subject.population)


@pytest.mark.parametrize("max_redraws", [0, 3])
def test_a_child_over_a_limit_is_resampled_and_never_accepted(max_redraws):
    def exceeded(child):
        return {"parameters": sum(child.architecture)} if sum(child.architecture) > 12 else {}

    settings = dataclasses.replace(SMALL, max_redraws=max_redraws)
    generations = list(evolved(settings=settings, exceeded=exceeded))
    proposals = [p for generation in generations for p in generation.batch.proposals]
    for proposal in proposals:
        is_over = sum(proposal.individual.architecture) > 12
        assert (proposal.outcome == "over_limit") == is_over
        assert proposal.exceeded == exceeded(proposal.individual)
    counts = Counter(p.outcome for p in proposals)
    assert counts["over_limit"] > 5
    assert max(sum(i.architecture) for g in generations for i in g.children) <= 12
    for generation in generations:
        candidates = [
            p for p in generation.batch.proposals if p.outcome in ("accepted", "rejected")
        ]
        assert len(candidates) <= SMALL.num_proposed
        assert generation.batch.num_attempts <= SMALL.num_proposed * (1 + max_redraws)


def test_a_generation_without_an_allowed_child_is_empty():
    settings = dataclasses.replace(SMALL, num_generations=2)
    generations = list(evolved(settings=settings, exceeded=lambda child: {"parameters": 1}))
    assert [g.children for g in generations] == [(), ()]
    assert [g.is_complete for g in generations] == [True, True]
    assert {p.outcome for g in generations for p in g.batch.proposals} == {"over_limit"}


def test_a_failed_architecture_is_not_evaluated_again():
    def fail(children):
        return [Evaluation(child.id, failure="no") for child in children]

    settings = dataclasses.replace(SMALL, num_generations=2, max_redraws=3)
    propose = lambda parent, rng: ((5, 5), [])  # noqa: E731
    _, second = evolved(settings=settings, propose=propose, evaluate=fail)
    assert {p.outcome for p in second.batch.proposals} == {"duplicate"}
    assert {p.duplicate_of for p in second.batch.proposals} == {"1-0"}
    assert second.evaluations == ()


def test_an_attempt_without_an_operator_leaves_no_proposal():
    settings = dataclasses.replace(SMALL, num_generations=1)
    [generation] = evolved(settings=settings, propose=lambda parent, rng: None)
    assert generation.batch.num_attempts == 12 * 11
    assert generation.batch.proposals == ()
    assert generation.evaluations == ()


def test_a_hash_collision_is_no_duplicate():
    def collide(architecture):
        return "the same for all"

    assert list(evolved(canonical_hash=collide)) == list(evolved())


def test_a_rejected_architecture_can_be_proposed_again():
    generations = list(evolved())
    rejected, again = set(), 0
    for generation in generations:
        by_outcome = {o: set() for o in ("accepted", "rejected", "duplicate")}
        for proposal in generation.batch.proposals:
            by_outcome[proposal.outcome].add(proposal.individual.architecture)
        again += len(rejected & (by_outcome["accepted"] | by_outcome["rejected"]))
        rejected |= by_outcome["rejected"]
    assert again > 0


# --- Arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("initial", "changes", "message"),
    [
        ([], {}, "there are 0 initial networks and 1 cheap objectives; expected at least one"),
        (initial_networks(), {"cheap": ()}, "3 initial networks and 0 cheap objectives"),
        (
            initial_networks(),
            {"cheap": (DEPTH,)},
            r"0-0 has the cheap objectives \['parameters'\]; expected \['depth'\]",
        ),
        (
            [
                *initial_networks(),
                dataclasses.replace(initial_networks()[0], attempt=3, expensive={"loss": 1}),
            ],
            {},
            r"0-3 has the expensive objectives \['loss'\]; expected those of 0-0, \['error'\]",
        ),
        (
            [dataclasses.replace(initial_networks()[0], expensive={})],
            {},
            "and at least one. Evaluate all",
        ),
    ],
)
def test_initial_networks_with_other_objectives_are_refused(initial, changes, message):
    with pytest.raises(ValueError, match=message):
        evolution(initial, **changes)


def test_an_invalid_cheap_objective_ends_the_search():
    with pytest.raises(ObjectiveError, match="'parameters' returned 0, which has no logarithm"):
        next(evolved(propose=lambda parent, rng: ((0,), [])))
