"""The kernel density estimate against its formula, and where it could break."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.neighbors import KernelDensity

from lemonade_tf.evolution import density, log_density


def _formula(population, values):
    """Compute the density in the module's docstring one product at a time."""
    n, d = population.shape
    widths = [n ** (-1 / (d + 4)) * (population[:, k].std() or 1.0) for k in range(d)]
    return [
        math.log(
            sum(
                math.prod(stats.norm.pdf(x[k], loc=p[k], scale=widths[k]) for k in range(d))
                for p in population
            )
            / n
        )
        for x in values
    ]


@given(st.integers(0, 2**32 - 1), st.integers(2, 15), st.integers(1, 3))
def test_the_formula(seed, num_individuals, num_dimensions):
    rng = np.random.default_rng(seed)
    units = np.array([1.0, 1e7, 1e-5])[:num_dimensions]
    population = rng.normal(3, 1, (num_individuals, num_dimensions)) * units
    near = rng.uniform(-3, 3, (4, num_dimensions)) * population.std(axis=0)
    values = population[rng.integers(num_individuals, size=4)] + near
    np.testing.assert_allclose(
        log_density(population, values), _formula(population, values), rtol=1e-9, atol=1e-9
    )


def test_agrees_with_scikit_learn():
    rng = np.random.default_rng(1)
    population, values = rng.normal(size=(300, 2)), rng.normal(size=(50, 2)) * 50
    spread = population.std(axis=0)
    reference = KernelDensity(bandwidth=300 ** (-1 / 6), leaf_size=300)  # one leaf: no shortcuts
    expected = reference.fit(population / spread).score_samples(values / spread)
    expected -= np.log(spread).sum()
    np.testing.assert_allclose(log_density(population, values), expected, rtol=1e-10)


def test_integrates_to_one():
    grid = np.linspace(-40, 40, 8001)[:, None]
    density = np.exp(log_density([[-3.0], [0.5], [0.7], [9.0]], grid))
    assert density.sum() * 0.01 == pytest.approx(1, rel=1e-9)


def test_a_population_of_one_is_a_bell_of_width_one():
    expected = stats.norm.logpdf([2, 3, 102], loc=2).tolist()
    assert log_density([[2.0]], [[2.0], [3.0], [102.0]]).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 0.1, -0.3, 1e9 / 7, 1e-30])
@pytest.mark.parametrize("num_individuals", [1, 3, 10])
def test_identical_values_keep_their_unit(value, num_individuals):
    population = np.full((num_individuals, 1), value)
    width = num_individuals ** (-1 / 5)
    expected = stats.norm.logpdf([0.0, 1.0], scale=width)
    found = log_density(population, [[value], [value + 1.0]])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_units_do_not_matter():
    rng = np.random.default_rng(2)
    population, values = rng.normal(size=(20, 3)), rng.normal(size=(5, 3))
    units = np.array([1e9, 1.0, 1e-6])
    shifted = log_density(population * units, values * units) + np.log(units).sum()
    np.testing.assert_allclose(shifted, log_density(population, values), rtol=1e-9)


def test_perfectly_correlated_objectives():
    column = np.log([15_232, 50_250, 100_564, 400_758])
    both = np.stack([column, 3 * column + 1], axis=1)
    assert np.isfinite(log_density(both, both)).all()


def test_many_dimensions():
    values = np.random.default_rng(3).normal(size=(30, 40)) * np.logspace(-12, 12, 40)
    assert np.isfinite(log_density(values, values * 10)).all()


def test_far_away_is_finite_and_in_order():
    found = log_density([[0.0], [1.0]], [[1e1], [1e3], [1e6], [1e12], [1e100]])
    assert np.isfinite(found).all()
    assert (np.diff(found) < 0).all()
    assert found[2] < -1e12


def test_without_values_the_result_is_empty():
    assert log_density([[1.0, 2.0]], np.empty((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    ("population", "values", "message"),
    [
        ([1.0, 2.0], [[1.0]], r"population_values has the shape \(2,\); expected \(individuals"),
        ([[1.0]], [1.0], r"values has the shape \(1,\); expected \(individuals, cheap"),
        ([[1.0]], np.empty((1, 0)), "with at least one objective"),
        ([[1.0]], [[1.0, 2.0]], "the same number of columns"),
        (np.empty((0, 1)), [[1.0]], "expected at least one individual"),
        ([[1.0], [np.nan]], [[1.0]], "population_values has a non-finite value in row 1"),
        ([[1.0]], [[np.inf]], "values has a non-finite value in row 0"),
    ],
)
def test_invalid_coordinates_are_refused(population, values, message):
    with pytest.raises(ValueError, match=message):
        log_density(population, values)


def test_many_points_are_computed_in_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    population, values = rng.normal(size=(30, 3)), rng.normal(size=(100, 3))
    whole = log_density(population, values)
    monkeypatch.setattr(density, "_MAX_DISTANCES", 100)
    np.testing.assert_array_equal(log_density(population, values), whole)
    assert log_density(population, np.zeros((0, 3))).shape == (0,)
