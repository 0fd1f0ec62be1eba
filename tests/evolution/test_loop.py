"""Algorithm 1 with toy networks."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from toy_evolution import (
    DEPTH,
    PARAMETERS,
    SMALL,
    append,
    evaluate,
    evolution,
    evolved,
    initial_networks,
    propose,
)

from lemonade_tf.evolution import (
    Evaluation,
    EvolutionSettings,
    Purpose,
    child_seed,
    inverse_density_probabilities,
    log_density,
    pareto_front,
)
from lemonade_tf.objectives import Objective


def _history(generations):
    """Return the accepted children, evaluated or failed, as a resumed search does."""
    history = []
    for generation in generations:
        known = {i.id: i for i in (*generation.batch.accepted, *generation.children)}
        history += [known[evaluation.id] for evaluation in generation.evaluations]
    return history


# --- Algorithm 1 -----------------------------------------------------------------------------


def test_golden():
    """The numbers hold for this package's rules and NumPy's generators; exact, not approximate."""
    generations = list(evolved())
    assert [[child.id for child in g.children] for g in generations] == GOLDEN_CHILDREN
    assert [
        (i.id, i.parent, i.architecture, i.objectives["error"]) for i in generations[-1].population
    ] == GOLDEN_FRONT


GOLDEN_CHILDREN = [
    ["1-0", "1-3", "1-6", "1-22", "1-25"],
    ["2-2", "2-3", "2-10", "2-23", "2-25"],
    ["3-1", "3-4", "3-17", "3-25", "3-29"],
    ["4-0", "4-3", "4-11", "4-13", "4-18"],
    ["5-4", "5-17", "5-21", "5-23", "5-28"],
    ["6-4", "6-7", "6-8", "6-18", "6-25"],
]
GOLDEN_FRONT = [
    ("0-0", None, (1,), 1001),
    ("0-1", None, (4, 4), 126),
    ("1-3", "0-1", (4,), 254),
    ("1-6", "0-1", (4, 4, 4), 85),
    ("1-25", "0-0", (2,), 502),
    ("2-2", "1-6", (4, 4, 4, 4), 69),
    ("2-3", "0-2", (9, 9, 9, 9), 29),
    ("2-10", "1-22", (9, 18), 38),
    ("3-1", "2-10", (9, 18, 18), 22),
    ("3-25", "2-23", (9, 9, 4, 18), 26),
    ("4-13", "3-25", (9, 9, 4, 18, 18), 20),
    ("4-18", "2-2", (4, 4, 4, 4, 4), 55),
    ("5-17", "4-18", (2, 4, 4, 4, 4), 58),
    ("6-4", "3-1", (9, 36, 18), 18),
    ("6-7", "1-6", (2, 4, 4), 100),
    ("6-8", "4-13", (9, 9, 4, 18, 18, 18), 14),
    ("6-18", "5-17", (2, 4, 4, 4, 4, 4), 50),
    ("6-25", "0-1", (4, 2), 174),
]


def test_different_seeds_give_different_searches():
    assert next(evolved(seed=8)) != next(evolved(seed=7))


def test_the_population_is_the_front_of_all_evaluated_networks():
    everyone = initial_networks()
    for generation in evolved():
        everyone += generation.children
        points = [(i.objectives["error"], i.objectives["parameters"]) for i in everyone]
        expected = [everyone[index] for index in pareto_front(points, keep_equal=False)]
        assert list(generation.population) == expected


def test_generations_have_the_sizes_of_the_settings():
    generations = list(evolved(propose=append))
    assert [g.batch.generation for g in generations] == [1, 2, 3, 4, 5, 6]
    parents = {i.id for i in initial_networks()}
    for generation in generations:
        outcomes = Counter(p.outcome for p in generation.batch.proposals)
        assert (outcomes["accepted"], outcomes["rejected"]) == (5, 7)
        assert generation.batch.num_attempts == 12
        assert generation.is_complete
        assert {p.individual.parent for p in generation.batch.proposals} <= parents
        for proposal in generation.batch.proposals:
            child = proposal.individual
            assert child.generation == generation.batch.generation
            assert child.cheap == {"parameters": sum(child.architecture)}
            assert child.operators == ({"operator": "append"},)
        parents = {i.id for i in generation.population}


def test_every_proposal_has_its_own_generator():
    """A child can be reproduced from its parent, its id and the seed."""
    generations = list(evolved())
    population = {i.id: i for i in generations[0].population}
    for proposal in generations[1].batch.proposals:
        child = proposal.individual
        seed = child_seed(7, *child.age_key, Purpose.STRUCTURE)
        graph, operators = propose(population[child.parent], rng=np.random.default_rng(seed))
        assert (graph, tuple(operators)) == (child.architecture, child.operators)


def test_parents_are_sampled_where_the_population_is_sparse():
    """Parents at the far end of the front are drawn more often than uniformly (appendix A.2)."""
    graphs = [(n,) for n in (100, 101, 102, 103, 104, 105, 106, 107, 9000)]
    initial = [
        dataclasses.replace(i, expensive={"error": -i.architecture[0]})
        for i in initial_networks(graphs)
    ]
    values = np.log(graphs)
    expected = inverse_density_probabilities(log_density(values, values))[-1]
    share = {}
    for sampling in ("density", "uniform"):
        settings = EvolutionSettings(1, 1000, 40, sampling=sampling)
        [generation] = evolved(initial, settings=settings, propose=append)
        parents = [p.individual.parent for p in generation.batch.proposals]
        share[sampling] = parents.count("0-8") / len(parents)
    assert expected > 0.25
    assert share == pytest.approx({"density": expected, "uniform": 1 / 9}, abs=0.04)


@pytest.mark.parametrize(("sampling", "least", "most"), [("density", 2, 2), ("uniform", 0, 1)])
def test_children_are_accepted_where_the_population_is_sparse(sampling, least, most):
    """Of 100 children two lie far from all others."""
    sizes = iter([*range(20, 118), 10**6, 10**9])
    settings = EvolutionSettings(1, 100, 10, sampling=sampling)
    [generation] = evolved(settings=settings, propose=lambda parent, rng: ((next(sizes),), []))
    num_far = sum(child.architecture[0] >= 10**6 for child in generation.batch.accepted)
    assert least <= num_far <= most


def test_several_cheap_objectives():
    cheap = (PARAMETERS, DEPTH)
    *_, last = evolved(initial_networks(cheap=cheap), cheap=cheap)
    assert all(list(i.objectives) == ["error", "parameters", "depth"] for i in last.population)


def test_a_population_of_one():
    generations = list(evolved(initial_networks([(5,)])))
    assert len(generations) == 6


def test_identical_cheap_values():
    initial = initial_networks([(2, 6), (6, 2), (8,)])
    cheap = Objective("parameters", "log", compute=lambda widths: 8)
    *_, last = evolved(initial, cheap=(cheap,))
    assert len(last.population) == 1


def with_a_dominated_one():
    """Return three initial networks; 0-1 is larger than 0-0 and its error is higher."""
    first, _, third = initial_networks([(4, 4), (4, 5), (9, 9, 9)])
    worse = initial_networks()[1]
    return [first, dataclasses.replace(worse, expensive={"error": 10**6}), third]


def test_the_population_starts_as_all_initial_networks():
    """Line 2 of Algorithm 1; the front of all is taken after the first generation."""
    subject = evolution(with_a_dominated_one())
    assert [i.id for i in subject.population] == ["0-0", "0-1", "0-2"]
    first, second, *_ = evolved(with_a_dominated_one())
    assert {p.individual.parent for p in first.batch.proposals} == {"0-0", "0-1", "0-2"}
    assert "0-1" not in {i.id for i in first.population}
    assert "0-1" not in {p.individual.parent for p in second.batch.proposals}


def test_all_initial_networks_stay_until_a_child_has_been_evaluated():
    def fail(children):
        return [Evaluation(child.id, failure="no") for child in children]

    initial = with_a_dominated_one()
    first, second, *_ = evolved(initial, evaluate=fail)
    assert [i.id for i in second.population] == ["0-0", "0-1", "0-2"]
    assert "0-1" in {p.individual.parent for p in second.batch.proposals}
    resumed = evolution(initial, history=_history([first]), start_generation=2)
    assert resumed.propose() == second.batch


def test_proposals_are_announced_before_they_are_evaluated():
    calls = []

    def note_and_evaluate(children):
        calls.append(children)
        return evaluate(children)

    for generation in evolved(evaluate=note_and_evaluate, on_proposed=calls.append):
        assert calls[-2:] == [generation.batch, generation.batch.accepted]
    assert len(calls) == 12


# --- Evaluations -----------------------------------------------------------------------------


def test_the_order_of_completion_does_not_matter():
    def evaluate_shuffled(children):
        rng = np.random.default_rng(len(children[0].architecture))
        yield from rng.permutation(evaluate(children))

    assert list(evolved(evaluate=evaluate_shuffled)) == list(evolved())


def _fail_odd_depths(children):
    for child, evaluation in zip(children, evaluate(children), strict=True):
        failed = len(child.architecture) % 2 == 1
        yield Evaluation(child.id, failure="out of memory") if failed else evaluation


def test_failed_children_are_recorded_and_not_evaluated_again():
    generations = list(evolved(evaluate=_fail_odd_depths))
    failed = {e.id for g in generations for e in g.evaluations if e.failure == "out of memory"}
    evaluated = {child.id for g in generations for child in g.children}
    assert failed
    assert evaluated
    assert not failed & evaluated
    assert not failed & {i.id for g in generations for i in g.population}
    assert failed & {p.duplicate_of for g in generations for p in g.batch.proposals}
    assert all(g.is_complete for g in generations)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_objectives_are_failures(value):
    def diverge(children):
        return [Evaluation(child.id, {"error": value}) for child in children]

    for generation in evolved(evaluate=diverge, propose=append):
        assert [e.failure for e in generation.evaluations] == [f"error is {value}"] * 5
        assert generation.children == ()
        assert [i.id for i in generation.population] == ["0-0", "0-1", "0-2"]


def _run_out_of_time(children):
    return evaluate(children)[: 5 if children[0].generation < 3 else 2]


def test_an_incomplete_generation_is_the_last():
    generations = list(evolved(evaluate=_run_out_of_time))
    assert [g.is_complete for g in generations] == [True, True, False]
    assert len(generations[-1].children) == 2
    accepted = {child.id for child in generations[-1].batch.accepted}
    assert {child.id for child in generations[-1].children} < accepted


def test_an_exception_of_the_evaluator_ends_the_search():
    def lose_the_cluster(children):
        yield from evaluate(children)[:1]
        raise ConnectionError("the cluster is gone")

    with pytest.raises(ConnectionError, match="the cluster is gone"):
        next(evolved(evaluate=lose_the_cluster))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: [*e, e[0]], "'1-[0-9]+' was reported and is not pending; expected one of none"),
        (lambda e: [Evaluation("9-9", {"error": 1})], "'9-9' was reported .* expected one of 1-"),
        (lambda e: [Evaluation(e[0].id, {"loss": 1})], r"objectives \['loss'\]; expected \['err"),
    ],
)
def test_evaluations_of_other_children_or_objectives_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        next(evolved(evaluate=lambda children: change(evaluate(children))))


# --- Resuming --------------------------------------------------------------------------------


def _architectures(generations):
    return [[p.individual.architecture for p in g.batch.proposals] for g in generations]


@pytest.mark.parametrize("evaluate", [evaluate, _fail_odd_depths])
@pytest.mark.parametrize("stop", [0, 1, 3, 6])
def test_a_resumed_search_equals_an_uninterrupted_one(evaluate, stop):
    at_once = list(evolved(evaluate=evaluate))
    history = _history(at_once[:stop])
    rest = list(evolved(evaluate=evaluate, history=history[::-1], start_generation=stop + 1))
    assert rest == at_once[stop:]
    assert _architectures(rest) == _architectures(at_once[stop:])


def test_an_incomplete_generation_is_repeated_with_the_same_ids():
    at_once = list(evolved())

    stopped = list(evolved(evaluate=_run_out_of_time))
    resumed = evolved(history=_history(stopped[:2]), start_generation=3)
    assert stopped[:2] + list(resumed) == at_once


@pytest.mark.parametrize("start", [1, 2])
def test_the_history_must_precede_the_start_generation(start):
    generations = list(evolved(settings=dataclasses.replace(SMALL, num_generations=2)))
    with pytest.raises(ValueError, match=f"history before generation {start}; expected gen"):
        evolved(history=_history(generations), start_generation=start)
    with pytest.raises(ValueError, match="0-0 is in the history"):
        evolved(history=initial_networks(), start_generation=start)
