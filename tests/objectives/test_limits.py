"""Limits on cheap objectives."""

import pytest
from graphs import small

from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.objectives import Objective, ObjectiveError, exceeded, run_limits, smallest_values

SETTINGS = {"objectives": ["error", "parameters"]}
TIME = Objective("time", "log", lambda graph, prepared: prepared["each"] * len(graph), prepare=len)
GRAPH, LARGE = small(), small(widths=(12, 16, 20))


def limits(**limit):
    return run_limits({**SETTINGS, "limit": limit})


def test_without_limits_nothing_is_exceeded():
    assert run_limits(SETTINGS) == limits() == ()
    assert exceeded((), GRAPH) == {}


def test_a_limit_is_exceeded_by_larger_values_only():
    maximum = count_parameters(GRAPH)
    assert exceeded(limits(parameters=maximum), GRAPH) == {}
    assert exceeded(limits(parameters=maximum - 0.5), GRAPH) == {"parameters": maximum}


def test_a_limit_may_be_on_an_objective_that_is_not_minimized():
    both = limits(multiply_adds=count_multiply_adds(GRAPH), parameters=1e9)
    assert exceeded(both, GRAPH) == {}
    assert exceeded(both, LARGE) == {"multiply_adds": count_multiply_adds(LARGE)}


def test_known_values_are_not_computed_again():
    assert exceeded(limits(parameters=10), GRAPH, {"parameters": 9}) == {}


def test_limits_are_shown_with_thousands_separators():
    (limit,) = limits(file_bytes=2e6)
    assert str(limit) == "file_bytes=2,000,000"
    both = limits(parameters=1, multiply_adds=1)
    assert smallest_values(both, [LARGE, GRAPH]) == (
        f"parameters {count_parameters(GRAPH):,}, multiply_adds {count_multiply_adds(GRAPH):,}"
    )


def test_a_limit_uses_the_prepared_objective():
    settings = {
        "objectives": ["error", "parameters"],
        "limit": {f"{__name__}:TIME": 3},
    }
    prepared = {f"{__name__}:TIME": {"each": 2}}
    assert exceeded(run_limits(settings, prepared), GRAPH) == {"time": 2 * len(GRAPH)}


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"parametrs": 5}, r"unknown objective 'parametrs'; did you mean 'parameters'\?"),
        ({"error": 0.1}, "error=0.1: 'error' is measured on the trained network; expected a cheap"),
        ({"parameters": 0}, "parameters=0: expected a number greater than 0"),
        ({"parameters": -1.5}, "parameters=-1.5: expected a number greater than 0"),
        ({"parameters": float("nan")}, "parameters=nan: expected a number"),
        ({"parameters": float("inf")}, "parameters=inf: expected a number"),
        (
            {"parameters": 10**400},
            "parameters=10+[.]{3}: expected a number greater than 0, at most 1",
        ),
        ({"parameters": "many"}, "parameters=many: expected a number"),
        ({"parameters": True}, "parameters=True: expected a number"),
    ],
)
def test_invalid_limits_are_refused(limit, message):
    with pytest.raises(ObjectiveError, match=message):
        limits(**limit)
