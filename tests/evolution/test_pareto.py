"""Fronts and hypervolumes against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lemonade_tf.evolution import Individual, hypervolume, pareto_front, update_front


def _points(values, least=1, most=6):
    """Draw up to 40 points with between `least` and `most` objectives."""
    shapes = st.tuples(st.integers(0, 40), st.integers(least, most))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=values))


SMALL = st.integers(0, 4).map(float)  # so few that ties are common
ANY = st.one_of(SMALL, st.floats(allow_nan=False), st.sampled_from([0.0, -0.0]))


def _brute_force_front(points):
    """Compare every row with every other."""
    first, second = points[:, None], points[None]
    dominates = (first <= second).all(axis=2) & (first < second).any(axis=2)
    return np.flatnonzero(~dominates.any(axis=0)).tolist()


@given(_points(ANY))
def test_the_front_consists_of_the_non_dominated_points(points):
    assert pareto_front(points).tolist() == _brute_force_front(points)


@given(_points(ANY))
def test_keep_equal_false_keeps_the_first_of_equal_points(points):
    first = {}
    for index in _brute_force_front(points):
        first.setdefault(tuple(points[index] + 0.0), index)
    assert pareto_front(points, keep_equal=False).tolist() == list(first.values())


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_the_front_of_many_points_in_many_objectives(seed, num_objectives):
    points = np.random.default_rng(seed).integers(0, 12, (150, num_objectives))
    assert pareto_front(points).tolist() == _brute_force_front(points)


def test_infinite_and_very_large_values_are_ordered_correctly():
    rng = np.random.default_rng(0)
    values = [-np.inf, -np.finfo(float).max, -1.0, 0.0, 5e-324, np.finfo(float).max, np.inf]
    for num_objectives in range(1, 7):
        for _ in range(50):
            points = rng.choice(values, (int(rng.integers(1, 60)), num_objectives))
            assert pareto_front(points).tolist() == _brute_force_front(points)


@pytest.mark.parametrize("empty", [[], np.empty((0, 3))])
def test_no_points(empty):
    front = pareto_front(empty)
    assert front.shape == (0,)
    assert front.dtype == np.intp
    assert hypervolume(empty, [1, 1, 1]) == 0.0


def _sweep(points, reference):
    """Add up the rectangles under a staircase, from left to right."""
    points = sorted(p for p in points.tolist() if p[0] < reference[0] and p[1] < reference[1])
    area, lowest = 0.0, reference[1]
    for x, y in points:
        if y < lowest:
            area += (reference[0] - x) * (lowest - y)
            lowest = y
    return area


@given(_points(st.integers(-20, 20).map(float), 2, 2))
def test_hypervolume_in_two_objectives_is_the_sweep(points):
    assert hypervolume(points, [15, 12]) == _sweep(points, [15, 12])


@given(_points(SMALL, 1, 5), st.integers(1, 5))
def test_hypervolume_counts_the_dominated_cells_of_a_grid(points, height):
    num_objectives = points.shape[1]
    corners = np.stack(np.meshgrid(*[np.arange(height)] * num_objectives), axis=-1)
    cells = corners.reshape(-1, num_objectives)
    covered = (points[None] <= cells[:, None]).all(axis=2).any(axis=1)
    assert hypervolume(points, [height] * num_objectives) == covered.sum()


def test_the_documented_figure():
    assert hypervolume([[5, 5], [4, 6], [2, 7], [7, 4]], [10, 10]) == 38.0


@pytest.mark.parametrize("points", [[1.0, 2.0], 3.0, np.empty((2, 0)), np.zeros((2, 2, 2))])
@pytest.mark.parametrize("measure", [pareto_front, lambda points: hypervolume(points, [1.0])])
def test_points_are_a_matrix(points, measure):
    with pytest.raises(ValueError, match=r"expected \(points, objectives\)"):
        measure(points)


@pytest.mark.parametrize("measure", [pareto_front, lambda points: hypervolume(points, [9, 9])])
def test_nan_is_refused(measure):
    with pytest.raises(ValueError, match=r"1 of 2 points .* row 1: \[nan, 2.0\]; expected no NaN"):
        measure([[1, 2], [np.nan, 2]])


def test_hypervolume_refuses_infinite_points():
    with pytest.raises(ValueError, match=r"row 0: \[-inf, 2.0\]; expected finite values"):
        hypervolume([[-np.inf, 2]], [9, 9])


@pytest.mark.parametrize("reference", [[], 3.0, [[1, 2]], [1, np.nan]])
def test_the_reference_is_a_finite_point(reference):
    with pytest.raises(ValueError, match=r"reference point .* expected one finite number per"):
        hypervolume([[1, 2]], reference)


def test_the_reference_has_as_many_objectives():
    with pytest.raises(ValueError, match="points have 2 objectives and the reference point 3"):
        hypervolume([[1, 2]], [1, 2, 3])


def _individual(attempt, parameters, error):
    expensive = {} if error is None else {"error": error}
    return Individual(0, attempt, None, (), None, {"parameters": parameters}, expensive)


@given(_points(SMALL, 2, 2), st.integers(0, 40))
def test_a_front_updated_in_parts_is_the_front_of_all(points, cut):
    individuals = [_individual(index, *point) for index, point in enumerate(points.tolist())]
    names = ("error", "parameters")
    population = update_front([], individuals[:cut], names)
    population = update_front(population, individuals[cut:], names)
    assert [i.attempt for i in population] == pareto_front(points, keep_equal=False).tolist()


def test_the_oldest_of_equal_individuals_is_kept():
    old, new = _individual(0, 5, 0.5), _individual(1, 5, 0.5)
    assert update_front([old], [new], ("error", "parameters")) == [old]
    assert update_front([new], [old], ("error", "parameters")) == [old]


def test_only_evaluated_individuals_are_on_a_front():
    with pytest.raises(ValueError, match=r"0-0 has .*\['parameters'\]; .* error as well"):
        update_front([_individual(0, 5, None)], [], ("error", "parameters"))
