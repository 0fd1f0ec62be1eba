"""Individuals and their evaluations."""

import pytest

from lemonade_tf.evolution import Evaluation, Individual


def _individual(generation=1, attempt=3, **changes):
    fields = {"parent": "0-0", "operators": (), "architecture": (3,), "cheap": {"parameters": 7}}
    return Individual(generation, attempt, **{**fields, **changes})


def test_objectives_list_the_expensive_ones_first():
    assert not _individual().is_evaluated
    evaluated = _individual(expensive={"error": 0.25})
    assert evaluated.is_evaluated
    assert list(evaluated.objectives.items()) == [("error", 0.25), ("parameters", 7)]


def test_equality_ignores_the_architecture():
    assert _individual() == _individual(architecture=(4,))
    assert _individual() != _individual(cheap={"parameters": 8})


def test_age_sorts_by_number():
    individuals = [_individual(10, 0), _individual(1, 10), _individual(1, 9)]
    assert [i.id for i in sorted(individuals, key=lambda i: i.age_key)] == ["1-9", "1-10", "10-0"]


@pytest.mark.parametrize(("generation", "attempt"), [(-1, 0), (0, -1)])
def test_generation_and_attempt_are_not_negative(generation, attempt):
    message = f"generation is {generation} and attempt {attempt}; expected at least 0"
    with pytest.raises(ValueError, match=message):
        _individual(generation, attempt)


def test_an_evaluation_has_objectives_or_a_failure():
    with pytest.raises(ValueError, match="1-3 has neither expensive objectives nor a failure"):
        Evaluation("1-3")


@pytest.mark.parametrize("failure", ["", "out of memory\nin layer 7"])
def test_a_failure_is_one_line(failure):
    with pytest.raises(ValueError, match="expected one non-empty line"):
        Evaluation("1-3", failure=failure)


def test_checked_puts_objectives_in_order():
    evaluation = Evaluation("1-3", {"b": 2, "a": 1})
    checked = evaluation.checked(("a", "b"))
    assert checked == evaluation
    assert list(checked.expensive) == ["a", "b"]


def test_checked_turns_non_finite_values_into_a_failure():
    evaluation = Evaluation("1-3", {"a": float("nan"), "b": 1, "c": float("inf")})
    assert evaluation.checked(("a", "b", "c")) == Evaluation("1-3", failure="a is nan, c is inf")


def test_checked_returns_a_failure_unchanged():
    failed = Evaluation("1-3", {"other": 1}, failure="out of memory")
    assert failed.checked(("error",)) is failed


@pytest.mark.parametrize("expensive", [{"a": 1}, {"a": 1, "b": 2, "c": 3}])
def test_checked_refuses_other_objectives(expensive):
    with pytest.raises(ValueError, match=r"1-3 has the objectives .*expected \['a', 'b'\]"):
        Evaluation("1-3", expensive).checked(("a", "b"))
