import pytest

from lemonade_tf.executors import Outcome
from lemonade_tf.search.failures import FailureWatch


def outcome(failure=None, cause=None):
    return Outcome("task", None, failure, 0, 1.0, cause=cause)


@pytest.fixture
def watch():
    return FailureWatch()


def test_the_third_of_a_kind_in_a_row_is_told(watch):
    failures = [outcome(f"worker {n} was killed by signal 9", "died") for n in range(3)]
    assert [watch.note(f"1-{n}", failure) for n, failure in enumerate(failures)] == [
        None,
        None,
        "networks 1-0, 1-1, 1-2 failed one after the other, in the same way: worker 2 was killed"
        " by signal 9",
    ]


@pytest.mark.parametrize(
    "between",
    [outcome(), outcome("ValueError: other", "raised"), outcome("diverged: nan")],
    ids=["trained", "another failure", "one of its own"],
)
def test_anything_else_between_begins_anew(watch, between):
    failure = outcome("ValueError: no", "raised")
    for number in range(10):
        assert watch.note(f"1-{number}", failure if number % 3 else between) is None
