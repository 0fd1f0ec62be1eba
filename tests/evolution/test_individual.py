"""The values that evolution hands around."""

import pytest

from lemonade_tf.evolution import Evaluation, Generation, Individual, Proposal


def _individual(id_="1-3", **changes):
    fields = {"generation": 1, "parent": "0-0", "operators": (), "graph": (3,)}
    return Individual(id_, **{**fields, "cheap": {"parameters": 7}, **changes})


def test_objectives_list_the_expensive_ones_first():
    assert not _individual().evaluated
    evaluated = _individual(expensive={"error": 0.25})
    assert evaluated.evaluated
    assert list(evaluated.objectives.items()) == [("error", 0.25), ("parameters", 7)]


def test_equality_leaves_the_graph_out():
    assert _individual() == _individual(graph=(4,))
    assert _individual() != _individual(cheap={"parameters": 8})


def test_age_sorts_by_number_not_by_text():
    youngest = _individual("10-0", generation=10)
    individuals = [youngest, _individual("1-10"), _individual("1-9")]
    assert [i.id for i in sorted(individuals, key=lambda i: i.age_key)] == ["1-9", "1-10", "10-0"]


@pytest.mark.parametrize("id_", ["2-3", "1", "1-", "1-x", "1-3-4", "1--3"])
def test_an_id_tells_generation_and_attempt(id_):
    with pytest.raises(ValueError, match=r'generation 1 has the id .*; expected "1-ATTEMPT"'):
        _individual(id_)


def test_an_evaluation_has_objectives_or_a_failure():
    with pytest.raises(ValueError, match="1-3 has no expensive objectives and no failure; give"):
        Evaluation("1-3")


@pytest.mark.parametrize("failure", ["", "out of memory\nin layer 7"])
def test_a_failure_is_one_line(failure):
    with pytest.raises(ValueError, match="expected one line that is not empty"):
        Evaluation("1-3", failure=failure)


def test_checked_puts_objectives_in_order():
    evaluation = Evaluation("1-3", {"b": 2, "a": 1}, seconds={"train": 3.0}, details={"c": 4})
    checked = evaluation.checked(("a", "b"))
    assert checked == evaluation
    assert list(checked.expensive) == ["a", "b"]


def test_checked_makes_values_that_are_not_finite_a_failure():
    evaluation = Evaluation("1-3", {"a": float("nan"), "b": 1, "c": float("inf")}, details={"d": 4})
    assert evaluation.checked(("a", "b", "c")) == Evaluation(
        "1-3", failure="a is nan, c is inf", details={"d": 4}
    )


def test_checked_leaves_a_failure_alone():
    failed = Evaluation("1-3", {"other": 1}, failure="out of memory")
    assert failed.checked(("error",)) is failed


@pytest.mark.parametrize("expensive", [{"a": 1}, {"a": 1, "b": 2, "c": 3}])
def test_checked_refuses_other_objectives(expensive):
    with pytest.raises(ValueError, match=r"1-3 has the objectives .*expected \['a', 'b'\]"):
        Evaluation("1-3", expensive).checked(("a", "b"))


def test_a_generation_is_complete_once_all_accepted_are_evaluated():
    accepted, rejected = _individual("1-0"), _individual("1-1")
    proposals = (Proposal(accepted, "accepted"), Proposal(rejected, "rejected"))
    open_ = Generation(1, 2, proposals, (), (), ())
    failed = Generation(1, 2, proposals, (Evaluation("1-0", failure="killed"),), (), ())
    assert open_.accepted == (accepted,)
    assert not open_.complete
    assert failed.complete
