"""The loop with toy networks: tuples of integers, with objectives in whole numbers."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from lemonade_tf.evolution import (
    CheapObjective,
    Evaluation,
    EvolutionSettings,
    Individual,
    Purpose,
    child_seed,
    evolve,
    inverse_density_probabilities,
    log_density,
    pareto_front,
)

PARAMETERS = CheapObjective("parameters", sum)
DEPTH = CheapObjective("depth", len, scale="linear")
SMALL = EvolutionSettings(num_generations=6, num_proposed=12, num_accepted=5)


def _error(graph):
    """Fall with the parameters, on the whole; the same on every machine."""
    return 1000 // sum(graph) + sum((place + 1) * width for place, width in enumerate(graph)) % 11


def _propose(parent, *, rng):
    """Lengthen, widen, narrow or shorten; the last two do not apply everywhere."""
    graph = parent.graph
    place = int(rng.integers(len(graph)))
    kind = ("lengthen", "widen", "narrow", "shorten")[rng.integers(4)]
    before, width, after = graph[:place], graph[place], graph[place + 1 :]
    if (kind == "narrow" and width < 2) or (kind == "shorten" and len(graph) < 2):
        return None
    middle = {
        "lengthen": (width, width),
        "widen": (2 * width,),
        "narrow": (width // 2,),
        "shorten": (),
    }[kind]
    return before + middle + after, [{"operator": kind, "place": place}]


def _evaluate(children):
    return [Evaluation(child.id, {"error": _error(child.graph)}) for child in children]


def _initial(graphs=((1,), (4, 4), (9, 9, 9)), cheap=(PARAMETERS,)):
    return [
        Individual(
            id=f"0-{index}",
            generation=0,
            parent=None,
            operators=(),
            graph=graph,
            cheap={objective.name: objective.measure(graph) for objective in cheap},
            expensive={"error": _error(graph)},
        )
        for index, graph in enumerate(graphs)
    ]


def _evolve(initial=None, **changes):
    arguments = {
        "propose": _propose,
        "evaluate": _evaluate,
        "cheap": (PARAMETERS,),
        "settings": SMALL,
        "seed": 7,
        "identify": repr,
        "same": lambda a, b: a == b,
    }
    return evolve(_initial() if initial is None else initial, **{**arguments, **changes})


def _met(generations):
    """List the accepted children, evaluated or failed, as a resumed search would."""
    met = []
    for generation in generations:
        known = {i.id: i for i in (*generation.accepted, *generation.children)}
        met += [known[evaluation.id] for evaluation in generation.evaluations]
    return met


# --- Algorithm 1 -----------------------------------------------------------------------------


def test_golden():
    """The numbers hold for this package's rules and NumPy's generators; exact, not approximate."""
    generations = list(_evolve())
    assert [[child.id for child in g.children] for g in generations] == GOLDEN_CHILDREN
    assert [
        (i.id, i.parent, i.graph, i.objectives["error"]) for i in generations[-1].population
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


def test_another_seed_is_another_search():
    assert next(_evolve(seed=8)) != next(_evolve(seed=7))


def test_the_population_is_the_front_of_all_that_was_evaluated():
    everyone = _initial()
    for generation in _evolve():
        everyone += generation.children
        points = [(i.objectives["error"], i.objectives["parameters"]) for i in everyone]
        expected = [everyone[index] for index in pareto_front(points, keep_equal=False)]
        assert list(generation.population) == expected


def _append(parent, *, rng):
    """Propose what was never proposed before."""
    return (*parent.graph, int(rng.integers(1, 10**9))), [{"operator": "append"}]


def test_generations_are_as_the_settings_say():
    generations = list(_evolve(propose=_append))
    assert [g.number for g in generations] == [1, 2, 3, 4, 5, 6]
    parents = {i.id for i in _initial()}
    for generation in generations:
        outcomes = Counter(p.outcome for p in generation.proposals)
        assert (outcomes["accepted"], outcomes["rejected"]) == (5, 7)
        assert generation.num_attempts == 12
        assert generation.complete
        assert {p.individual.parent for p in generation.proposals} <= parents
        for proposal in generation.proposals:
            child = proposal.individual
            assert child.generation == generation.number
            assert child.cheap == {"parameters": sum(child.graph)}
            assert child.operators == ({"operator": "append"},)
        parents = {i.id for i in generation.population}


def test_every_proposal_is_made_by_its_own_generator():
    """The child "2-5" can be drawn without any other."""
    generations = list(_evolve())
    population = {i.id: i for i in generations[0].population}
    for proposal in generations[1].proposals:
        child = proposal.individual
        seed = child_seed(7, *child.age_key, Purpose.STRUCTURE)
        graph, operators = _propose(population[child.parent], rng=np.random.default_rng(seed))
        assert (graph, tuple(operators)) == (child.graph, child.operators)


def test_the_search_moves_where_the_population_is_sparse():
    """Parents at the far end of the front are drawn more often than uniformly (appendix A.2)."""
    graphs = [(n,) for n in (100, 101, 102, 103, 104, 105, 106, 107, 9000)]
    initial = [dataclasses.replace(i, expensive={"error": -i.graph[0]}) for i in _initial(graphs)]
    places = np.log([graph for (graph,) in graphs])[:, None]
    expected = inverse_density_probabilities(log_density(places, places))[-1]
    share = {}
    for sampling in ("density", "uniform"):
        settings = EvolutionSettings(1, 1000, 40, sampling=sampling)
        [generation] = _evolve(initial, settings=settings, propose=_append)
        share[sampling] = np.mean([p.individual.parent == "0-8" for p in generation.proposals])
    assert expected > 0.25
    assert share == pytest.approx({"density": expected, "uniform": 1 / 9}, abs=0.04)


@pytest.mark.parametrize(("sampling", "least", "most"), [("density", 2, 2), ("uniform", 0, 1)])
def test_children_are_accepted_where_the_population_is_sparse(sampling, least, most):
    """Of 100 children two lie far from all others."""
    sizes = iter([*range(20, 118), 10**6, 10**9])
    settings = EvolutionSettings(1, 100, 10, sampling=sampling)
    [generation] = _evolve(settings=settings, propose=lambda parent, rng: ((next(sizes),), []))
    assert least <= sum(child.graph[0] >= 10**6 for child in generation.accepted) <= most


def test_several_cheap_objectives():
    cheap = (PARAMETERS, DEPTH)
    *_, last = _evolve(_initial(cheap=cheap), cheap=cheap)
    assert all(list(i.objectives) == ["error", "parameters", "depth"] for i in last.population)


def test_a_population_of_one():
    generations = list(_evolve(_initial([(5,)])))
    assert len(generations) == 6


def test_identical_cheap_values():
    initial = _initial([(2, 6), (6, 2), (8,)])
    cheap = CheapObjective("parameters", lambda graph: 8)
    *_, last = _evolve(initial, cheap=(cheap,))
    assert len(last.population) == 1


def test_dominated_initial_networks_are_no_parents():
    initial = [*_initial([(4, 4)]), *_initial()[2:]]
    worse = dataclasses.replace(_initial()[1], expensive={"error": 10**6})
    [generation, *_] = _evolve([*initial, worse])
    assert "0-1" not in {p.individual.parent for p in generation.proposals}


def test_proposals_are_announced_before_they_are_evaluated():
    calls = []

    def evaluate(children):
        calls.append([child.id for child in children])
        return _evaluate(children)

    for generation in _evolve(evaluate=evaluate, on_proposed=lambda *args: calls.append(args)):
        announced, evaluated = calls[-2:]
        assert announced == (generation.number, list(generation.proposals))
        assert evaluated == [child.id for child in generation.accepted]
    assert len(calls) == 12


# --- Evaluations -----------------------------------------------------------------------------


def test_the_order_of_completion_does_not_matter():
    def shuffled(children):
        yield from np.random.default_rng(len(children[0].graph)).permutation(_evaluate(children))

    assert list(_evolve(evaluate=shuffled)) == list(_evolve())


def _fail_odd_depths(children):
    for child, evaluation in zip(children, _evaluate(children), strict=True):
        failed = len(child.graph) % 2 == 1
        yield Evaluation(child.id, failure="out of memory") if failed else evaluation


def test_failed_children_are_recorded_and_not_met_again():
    generations = list(_evolve(evaluate=_fail_odd_depths))
    failed = {e.id for g in generations for e in g.evaluations if e.failure == "out of memory"}
    evaluated = {child.id for g in generations for child in g.children}
    assert failed
    assert evaluated
    assert not failed & evaluated
    assert not failed & {i.id for g in generations for i in g.population}
    assert failed & {p.duplicate_of for g in generations for p in g.proposals}
    assert all(g.complete for g in generations)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_objectives_that_are_not_finite_are_failures(value):
    def evaluate(children):
        return [Evaluation(child.id, {"error": value}) for child in children]

    for generation in _evolve(evaluate=evaluate, propose=_append):
        assert [e.failure for e in generation.evaluations] == [f"error is {value}"] * 5
        assert generation.children == ()
        assert [i.id for i in generation.population] == ["0-0", "0-1", "0-2"]


def test_a_generation_cut_short_is_the_last():
    def evaluate(children):
        return _evaluate(children)[: 5 if children[0].generation < 3 else 2]

    generations = list(_evolve(evaluate=evaluate))
    assert [g.complete for g in generations] == [True, True, False]
    assert len(generations[-1].children) == 2
    assert {c.id for c in generations[-1].children} < {c.id for c in generations[-1].accepted}


def test_an_exception_of_the_evaluator_ends_the_search():
    def evaluate(children):
        yield from _evaluate(children)[:1]
        raise ConnectionError("the cluster is gone")

    with pytest.raises(ConnectionError, match="the cluster is gone"):
        next(_evolve(evaluate=evaluate))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: [*e, e[0]], r"which it gave before; expected each of these at most once: 1-"),
        (lambda e: [Evaluation("9-9", {"error": 1})], "'9-9', which it was not asked for"),
        (lambda e: [Evaluation(e[0].id, {"loss": 1})], r"objectives \['loss'\]; expected \['err"),
    ],
)
def test_evaluations_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        next(_evolve(evaluate=lambda children: change(_evaluate(children))))


# --- Duplicates ------------------------------------------------------------------------------


def test_no_architecture_is_evaluated_twice():
    generations = list(_evolve())
    graphs = [i.graph for i in _initial()]
    graphs += [child.graph for g in generations for child in g.children]
    assert len(graphs) == len(set(graphs))


def test_duplicates_name_what_they_repeat():
    generations = list(_evolve())
    graph_of = {i.id: i.graph for i in _initial()}
    num_duplicates = 0
    for generation in generations:
        graph_of |= {p.individual.id: p.individual.graph for p in generation.proposals}
        met = {i.id for i in _initial()} | {i.id for i in _met(generations[: generation.number])}
        for proposal in generation.proposals:
            if proposal.duplicate_of is None:
                assert proposal.outcome != "duplicate"
                continue
            num_duplicates += 1
            assert graph_of[proposal.duplicate_of] == proposal.individual.graph
            here = proposal.duplicate_of.startswith(f"{generation.number}-")
            assert here or proposal.duplicate_of in met
            assert not here or proposal.outcome == "duplicate"
    assert num_duplicates > 10


@pytest.mark.parametrize("max_redraws", [0, 3])
def test_redraws_are_bounded(max_redraws):
    settings = dataclasses.replace(SMALL, num_generations=2, max_redraws=max_redraws)
    same_child = _evolve(settings=settings, propose=lambda parent, rng: ((5, 5), []))
    first, second = same_child
    assert first.num_attempts == 1 + 11 * (1 + max_redraws)
    assert Counter(p.outcome for p in first.proposals) == {
        "accepted": 1,
        "duplicate": 11 * (1 + max_redraws),
    }
    # What was met in an earlier generation is proposed once more, when no other child is found.
    assert second.num_attempts == 12 * (1 + max_redraws)
    assert Counter(p.outcome for p in second.proposals) == {
        "accepted": 1,
        "duplicate": 12 * (1 + max_redraws) - 1,
    }
    [repeated] = [p for p in second.proposals if p.outcome == "accepted"]
    assert repeated.duplicate_of == "1-0"
    assert repeated.individual.id == f"2-{max_redraws}"
    assert second.complete


@pytest.mark.parametrize("max_redraws", [0, 3])
def test_what_exceeds_a_limit_is_drawn_again_and_never_accepted(max_redraws):
    def exceeded(child):
        return {"parameters": sum(child.graph)} if sum(child.graph) > 12 else {}

    settings = dataclasses.replace(SMALL, max_redraws=max_redraws)
    generations = list(_evolve(settings=settings, exceeded=exceeded))
    proposals = [p for generation in generations for p in generation.proposals]
    for proposal in proposals:
        beyond = sum(proposal.individual.graph) > 12
        assert (proposal.outcome == "outside") == beyond
        assert proposal.exceeded == exceeded(proposal.individual)
    counts = Counter(p.outcome for p in proposals)
    assert counts["outside"] > 5
    assert max(sum(i.graph) for g in generations for i in g.children) <= 12
    for generation in generations:
        wanted = [p for p in generation.proposals if p.outcome in ("accepted", "rejected")]
        assert len(wanted) <= SMALL.num_proposed
        assert generation.num_attempts <= SMALL.num_proposed * (1 + max_redraws)


def test_a_generation_without_an_allowed_child_is_empty():
    settings = dataclasses.replace(SMALL, num_generations=2)
    generations = list(_evolve(settings=settings, exceeded=lambda child: {"parameters": 1}))
    assert [g.children for g in generations] == [(), ()]
    assert [g.complete for g in generations] == [True, True]
    assert {p.outcome for g in generations for p in g.proposals} == {"outside"}


def test_what_failed_is_not_repeated():
    def fail(children):
        return [Evaluation(child.id, failure="no") for child in children]

    settings = dataclasses.replace(SMALL, num_generations=2, max_redraws=3)
    propose = lambda parent, rng: ((5, 5), [])  # noqa: E731
    _, second = _evolve(settings=settings, propose=propose, evaluate=fail)
    assert {p.outcome for p in second.proposals} == {"duplicate"}
    assert {p.duplicate_of for p in second.proposals} == {"1-0"}
    assert second.evaluations == ()


def test_a_parent_without_operators_is_an_attempt():
    settings = dataclasses.replace(SMALL, num_generations=1)
    [generation] = _evolve(settings=settings, propose=lambda parent, rng: None)
    assert generation.num_attempts == 12 * 11
    assert generation.proposals == ()
    assert generation.evaluations == ()


def test_a_collision_of_hashes_is_no_duplicate():
    def collide(graph):
        return "the same for all"

    assert list(_evolve(identify=collide)) == list(_evolve())


def test_what_was_rejected_may_be_proposed_again():
    generations = list(_evolve())
    rejected, again = set(), 0
    for generation in generations:
        fresh = {p.individual.graph for p in generation.proposals if p.outcome != "duplicate"}
        again += len(rejected & fresh)
        rejected |= {p.individual.graph for p in generation.proposals if p.outcome == "rejected"}
    assert again > 0


# --- Resuming --------------------------------------------------------------------------------


@pytest.mark.parametrize("evaluate", [_evaluate, _fail_odd_depths])
@pytest.mark.parametrize("stop", [0, 1, 3, 6])
def test_a_resumed_search_is_the_same_search(evaluate, stop):
    at_once = list(_evolve(evaluate=evaluate))
    met = _met(at_once[:stop])
    rest = list(_evolve(evaluate=evaluate, met=met[::-1], start_generation=stop + 1))
    assert rest == at_once[stop:]
    graphs = [[p.individual.graph for p in g.proposals] for g in rest]
    assert graphs == [[p.individual.graph for p in g.proposals] for g in at_once[stop:]]


def test_a_generation_cut_short_is_run_again_with_the_same_ids():
    at_once = list(_evolve())

    def cut(children):
        return _evaluate(children)[: 5 if children[0].generation < 3 else 2]

    stopped = list(_evolve(evaluate=cut))
    resumed = _evolve(met=_met(stopped[:2]), start_generation=3)
    assert stopped[:2] + list(resumed) == at_once


@pytest.mark.parametrize("start", [1, 2])
def test_met_is_older_than_the_start(start):
    [*generations] = _evolve(settings=dataclasses.replace(SMALL, num_generations=2))
    with pytest.raises(ValueError, match=f"met before generation {start}; expected generations"):
        _evolve(met=_met(generations), start_generation=start)
    with pytest.raises(ValueError, match="0-0 was given as met"):
        _evolve(met=_initial(), start_generation=start)


# --- Settings and arguments ------------------------------------------------------------------


def test_the_defaults_are_the_papers():
    assert dataclasses.astuple(EvolutionSettings())[:4] == (100, 200, 40, "density")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_generations": -1}, "num_generations is -1; expected a whole number from 0 up"),
        ({"num_proposed": 0}, "num_proposed is 0; expected a whole number from 1 up"),
        ({"num_accepted": 2.0}, "num_accepted is 2.0; expected a whole number from 1 up"),
        ({"max_redraws": True}, "max_redraws is True; expected a whole number from 0 up"),
        ({"num_accepted": 201}, "num_accepted is 201, num_proposed 200; expected to accept at"),
        ({"sampling": "kde"}, "sampling is 'kde'; expected"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        EvolutionSettings(**changes)


@pytest.mark.parametrize(
    ("initial", "changes", "message"),
    [
        ([], {}, "There are 0 initial networks and 1 cheap objectives; expected at least one"),
        (_initial(), {"cheap": ()}, "3 initial networks and 0 cheap objectives"),
        (_initial(), {"cheap": (DEPTH,)}, r"0-0 has the cheap objectives \['parameters'\]; exp"),
        (
            [*_initial(), dataclasses.replace(_initial()[0], id="0-3", expensive={"loss": 1})],
            {},
            r"0-3 has the expensive objectives \['loss'\]; expected those of 0-0, \['error'\]",
        ),
        ([dataclasses.replace(_initial()[0], expensive={})], {}, "and at least one. Evaluate all"),
    ],
)
def test_initial_networks_that_do_not_fit_are_refused_at_once(initial, changes, message):
    with pytest.raises(ValueError, match=message):
        _evolve(initial, **changes)


def test_a_cheap_objective_out_of_range_ends_the_search():
    with pytest.raises(ValueError, match="parameters is 0, which has no logarithm"):
        next(_evolve(propose=lambda parent, rng: ((0,), [])))
