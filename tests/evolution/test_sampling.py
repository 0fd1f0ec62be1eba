"""Both sampling stages against equations 1 and 2."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lemonade_tf.evolution import (
    Purpose,
    accept,
    child_seed,
    inverse_density_probabilities,
    sample_parents,
)

DENSITIES = np.array([0.1, 0.2, 0.4, 0.4, 1.5])


def _rng(seed=0):
    return np.random.default_rng(seed)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20))
def test_probabilities_are_equation_1(densities):
    inverse = 1 / np.array(densities)
    np.testing.assert_allclose(
        inverse_density_probabilities(np.log(densities)), inverse / inverse.sum(), rtol=1e-12
    )


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20))
def test_extreme_densities_give_probabilities(log_densities):
    probabilities = inverse_density_probabilities(log_densities)
    assert (probabilities >= 0).all()
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[np.argmin(log_densities)] == probabilities.max()


def test_equal_densities_are_uniform_sampling():
    assert inverse_density_probabilities(np.zeros(4)).tolist() == [0.25] * 4


def test_parents_are_drawn_by_equation_1():
    probabilities = inverse_density_probabilities(np.log(DENSITIES))
    drawn = sample_parents(probabilities, 50_000, rng=_rng())
    counts = np.bincount(drawn, minlength=5)
    assert stats.chisquare(counts, 50_000 * probabilities).pvalue > 0.01


def _successive(probabilities, num):
    """Probability of each set, when one after the other is drawn from those that are left."""
    sets = {}
    for order in permutations(range(len(probabilities)), num):
        probability, left = 1.0, 1.0
        for index in order:
            probability *= probabilities[index] / left
            left -= probabilities[index]
        key = tuple(sorted(order))
        sets[key] = sets.get(key, 0.0) + probability
    return sets


@pytest.mark.parametrize("num", [1, 2, 3])
def test_children_are_accepted_by_equation_2_one_after_the_other(num):
    expected = _successive(inverse_density_probabilities(np.log(DENSITIES)), num)
    rng, num_draws = _rng(num), 20_000
    counts = dict.fromkeys(expected, 0)
    for _ in range(num_draws):
        counts[tuple(accept(np.log(DENSITIES), num, rng=rng).tolist())] += 1
    frequencies = [num_draws * probability for probability in expected.values()]
    assert stats.chisquare(list(counts.values()), frequencies).pvalue > 0.01


def test_accepts_without_replacement_and_in_order():
    accepted = accept(np.zeros(200), 40, rng=_rng())
    assert len(accepted) == 40
    assert (np.diff(accepted) > 0).all()


@pytest.mark.parametrize("num_proposed", [0, 1, 5, 6])
def test_all_children_are_accepted_if_there_are_fewer_than_asked_for(num_proposed):
    accepted = accept(np.arange(num_proposed) * -1e5, 6, rng=_rng())
    assert accepted.tolist() == list(range(num_proposed))


def test_weights_beyond_floating_point_are_sampled_correctly():
    log_densities = np.array([0.0, -1e6, 1e30, -2e6, 1e6])  # best: 3, 1, 0, 4, 2
    assert [accept(log_densities, k, rng=_rng()).tolist() for k in (1, 2, 3, 4)] == [
        [3],
        [1, 3],
        [0, 1, 3],
        [0, 1, 3, 4],
    ]


def test_equally_unlikely_children_have_equal_chances():
    rng = _rng()
    counts = np.zeros(4)
    for _ in range(4000):
        counts[accept([0.0, 1e30, 1e30, 1e30], 2, rng=rng)] += 1
    assert counts[0] == 4000
    assert stats.chisquare(counts[1:]).pvalue > 0.01


@pytest.mark.parametrize("wrong", [[np.nan, 1.0], [-np.inf, 1.0], [[1.0, 2.0]]])
@pytest.mark.parametrize(
    "function", [inverse_density_probabilities, lambda values: accept(values, 1, rng=_rng())]
)
def test_log_densities_are_finite(wrong, function):
    with pytest.raises(ValueError, match="expected one finite number per network"):
        function(wrong)


def test_probabilities_need_at_least_one_density():
    with pytest.raises(ValueError, match=r"has the shape \(0,\)"):
        inverse_density_probabilities([])


def test_every_decision_has_its_own_seed():
    keys = [(g, a, p) for g in range(3) for a in range(3) for p in Purpose]
    states = {tuple(child_seed(5, *key).generate_state(4)) for key in keys}
    assert len(states) == len(keys)


def test_seeds_are_stable():
    assert [(p.name, p.value) for p in Purpose] == [
        ("PARENT", 0),
        ("STRUCTURE", 1),
        ("WEIGHTS", 2),
        ("TRAINING", 3),
        ("ACCEPTANCE", 4),
    ]
    seed = child_seed(5, 12, 7, Purpose.TRAINING)
    assert seed.spawn_key == (12, 7, 3)
    assert seed.generate_state(2).tolist() == [1149446752, 2619995244]
