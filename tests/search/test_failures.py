"""Failures in a row that end a search."""

import pytest

from lemonade_tf.executors import Outcome
from lemonade_tf.search.failures import FailureWatch


def outcome(failure=None, cause=None):
    return Outcome("task", None, failure, 0, 1.0, cause=cause)


@pytest.fixture
def watch():
    return FailureWatch()


def test_three_equal_failures_in_a_row_are_a_reason_to_end(watch):
    failures = [outcome(f"worker {n} was killed by signal 9", "died") for n in range(3)]
    assert [watch.note(f"1-{n}", failure) for n, failure in enumerate(failures)] == [
        None,
        None,
        "networks 1-0, 1-1, 1-2 failed in a row, in the same way: worker 2 was killed by signal 9",
    ]


@pytest.mark.parametrize(
    "between",
    [outcome(), outcome("ValueError: other", "raised"), outcome("diverged: nan")],
    ids=["trained", "another failure", "its own failure"],
)
def test_any_other_outcome_starts_the_count_over(watch, between):
    failure = outcome("ValueError: no", "raised")
    for number in range(10):
        assert watch.note(f"1-{number}", failure if number % 3 else between) is None
