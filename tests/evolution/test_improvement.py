"""The predicted improvement of the front, per training time."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from toy_evolution import PARAMETERS, evaluate, evolution, evolved

from lemonade_tf.evolution import Evaluation, ExpectedImprovement, Individual

LOG = {"parameters": math.log}, {"error": math.log}


def _network(attempt, error=None, parameters=1.0, parent=None, operators=(), generation=1):
    return Individual(
        generation=generation,
        attempt=attempt,
        parent=parent,
        operators=tuple({"operator": name} for name in operators),
        architecture=None,
        cheap={"parameters": parameters},
        expensive={} if error is None else {"error": error},
    )


def _rate(children, evaluated, front=None, cost=lambda child: 1.0):
    """Return the weights of children: expected gains per cost."""
    by_id = {each.id: each for each in evaluated}
    rated = ExpectedImprovement(*LOG, cost)
    return np.exp(rated.log_weights(children, front or evaluated, by_id))


def test_the_weight_is_the_expected_gain_of_hypervolume():
    """By hand: no child has been evaluated, so a child is as good as its parent, on average."""
    parents = [_network(0, 0.5, 100.0, generation=0), _network(1, 0.1, 1000.0, generation=0)]
    child = _network(0, parameters=200.0, parent="0-0")
    noise = np.std(np.log([0.5, 0.1]))
    outcomes = math.log(0.5) + noise * norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9])
    sizes, errors = np.log([100, 1000, *[200] * 5]), np.r_[np.log([0.5, 0.1]), outcomes]
    worst = [sizes.max() + sizes.std(), errors.max() + errors.std()]
    gains = []
    for outcome in outcomes:  # below the step of 0-0, and above or below that of 0-1
        left = (math.log(1000) - math.log(200)) * max(0, math.log(0.5) - outcome)
        right = (worst[0] - math.log(1000)) * max(0, math.log(0.1) - outcome)
        gains.append(left + right)
    assert _rate([child], parents) == pytest.approx([np.mean(gains)])


def test_a_child_that_costs_twice_as_much_has_half_the_weight():
    parents = [_network(0, 0.5, 100.0, generation=0), _network(1, 0.1, 1000.0, generation=0)]
    children = [_network(number, parameters=200.0, parent="0-0") for number in (0, 1)]
    cheap, dear = _rate(children, parents, cost=lambda child: 1 + child.attempt)
    assert cheap == pytest.approx(2 * dear)


def test_operators_that_made_better_children_are_preferred():
    parent = _network(0, 0.2, 100.0, generation=0)
    history = [
        _network(
            attempt, 0.2 * (0.5 if attempt % 2 else 2), 100.0, "0-0", ["widen", "skip"][k : k + 1]
        )
        for attempt, k in enumerate([1, 0] * 10)
    ]
    children = [
        _network(number, parameters=90.0, parent="0-0", operators=[name], generation=2)
        for number, name in enumerate(["widen", "skip", "new"])
    ]
    better, worse, unknown = _rate(children, [parent, *history], [parent])
    assert better > unknown > worse


def test_the_order_of_the_networks_does_not_matter():
    rng = np.random.default_rng(0)
    parent = _network(0, 0.2, 100.0, generation=0)
    history = [
        _network(n, error, 100.0 + n, "0-0", [f"operator_{n % 3}"])
        for n, error in enumerate(rng.uniform(0.1, 0.9, 50))
    ]
    child = _network(0, parameters=90.0, parent="0-0", operators=["operator_1"], generation=2)
    expected = _rate([child], [parent, *history], [parent])
    for _ in range(5):
        shuffled = [history[index] for index in rng.permutation(len(history))]
        # The spread over all networks is a sum, too.
        assert _rate([child], [*shuffled, parent], [parent]) == expected


def test_weights_are_finite_without_any_gain_and_without_children():
    front = [_network(0, 1e-9, 1.0, generation=0)]
    hopeless = _network(0, parameters=1e12, parent="0-0")
    rated = ExpectedImprovement(*LOG, lambda child: 1.0)
    assert np.isfinite(rated.log_weights([hopeless], front, {"0-0": front[0]})).all()
    assert rated.log_weights([], front, {"0-0": front[0]}).shape == (0,)


# --- In an evolution -----------------------------------------------------------------------------


def _toy():
    coordinates = {"parameters": PARAMETERS.transform}, {"error": math.log1p}
    return ExpectedImprovement(*coordinates, lambda child: 1 + sum(child.architecture))


def test_a_resumed_search_equals_an_uninterrupted_one():
    def fail_some(children):
        for evaluation in evaluate(children):
            failed = evaluation.id.endswith("3")
            yield Evaluation(evaluation.id, failure="failed") if failed else evaluation

    at_once = list(evolved(evaluate=fail_some, log_weights=_toy().log_weights))
    history = []
    for generation in at_once[:3]:
        known = {each.id: each for each in (*generation.batch.accepted, *generation.children)}
        history += [known[evaluation.id] for evaluation in generation.evaluations]
    rest = evolved(
        evaluate=fail_some,
        log_weights=_toy().log_weights,
        history=history[::-1],
        start_generation=4,
    )
    assert list(rest) == at_once[3:]


def test_weights_are_used_whatever_the_density():
    children = evolution(
        log_weights=lambda children, front, evaluated: _only(children, 2)
    ).propose()
    drawn = [p.individual.id for p in children.proposals if p.outcome in ("accepted", "rejected")]
    assert drawn[2] in {child.id for child in children.accepted}


def _only(children, index):
    weights = np.full(len(children), -1e6)
    weights[index] = 0.0
    return weights


def test_an_individual_is_rated_as_it_was_evaluated():
    """The parents of proposed children are looked up by id, with the objectives reported."""
    seen = []

    def rate(children, front, evaluated):
        seen.append({each.id: dict(each.expensive) for each in evaluated.values()})
        return np.zeros(len(children))

    evolving = evolution(log_weights=rate)
    batch = evolving.propose()
    for evaluation in evaluate(batch.accepted):
        evolving.report(replace(evaluation, expensive={"error": 0.25}))
    evolving.propose()
    assert all(seen[1][child.id] == {"error": 0.25} for child in batch.accepted)
