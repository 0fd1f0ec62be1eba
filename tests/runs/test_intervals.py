"""Confidence intervals of errors."""

import pytest
from runs import CONFIG
from scipy.stats import binomtest

from lemonade_tf.runs.intervals import error_intervals, wilson_interval


@pytest.mark.parametrize(("wrong", "total"), [(0, 300), (1, 300), (9, 300), (150, 300), (10, 10)])
def test_intervals_are_those_of_scipy(wrong, total):
    expected = binomtest(wrong, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(wrong / total, total) == pytest.approx(tuple(expected), abs=1e-6)


def test_only_errors_have_intervals():
    values = {"error": 0.1, "top5_error": 0.0, "test_error": None, "error_x": 0.1, "parameters": 9}
    assert set(error_intervals(CONFIG, values)) == {"error", "top5_error"}
