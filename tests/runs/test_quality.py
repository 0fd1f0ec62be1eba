"""The hypervolume of a front and its reference point."""

import numpy as np
import pytest

from lemonade_tf.objectives import ERROR, PARAMETERS
from lemonade_tf.runs.quality import coordinates, front_hypervolume, reference_point
from lemonade_tf.search_spaces import NETWORKS

BOTH = (ERROR, PARAMETERS)


def test_the_reference_is_chance_level_error_and_25_times_the_largest_initial_network():
    initial = NETWORKS.initial_graphs((32, 32, 3), 10)
    assert reference_point(BOTH, initial, 10) == {
        "error": pytest.approx(0.9),
        "parameters": 10_018_950.0,
    }


def test_coordinates_are_logarithms_on_log_scales():
    assert coordinates(BOTH, {"error": 0.25, "parameters": 1000}) == [0.25, 3.0]


def test_the_hypervolume_of_two_networks():
    reference = {"error": 0.9, "parameters": 10_000}
    front = [{"error": 0.5, "parameters": 100}, {"error": 0.1, "parameters": 1000}]
    # Widths in error times heights in log10(parameters).
    expected = (0.9 - 0.5) * (4 - 2) + (0.5 - 0.1) * (4 - 3)
    assert front_hypervolume(BOTH, front, reference) == pytest.approx(expected, rel=1e-12)


def test_an_empty_front_and_points_beyond_the_reference_have_no_hypervolume():
    reference = {"error": 0.9, "parameters": 1000}
    assert front_hypervolume(BOTH, [], reference) == 0
    beyond = [{"error": 0.95, "parameters": 10}, {"error": 0.1, "parameters": 2000}]
    assert front_hypervolume(BOTH, beyond, reference) == 0


def test_a_dominating_front_has_the_larger_hypervolume():
    rng = np.random.default_rng(0)
    reference = {"error": 0.9, "parameters": 1e6}
    for _ in range(20):
        front = [
            {"error": e, "parameters": p}
            for e, p in zip(rng.uniform(0.1, 0.8, 5), rng.uniform(1e3, 1e5, 5), strict=True)
        ]
        better = [{"error": f["error"] * 0.9, "parameters": f["parameters"]} for f in front]
        assert front_hypervolume(BOTH, better, reference) > front_hypervolume(
            BOTH, front, reference
        )
