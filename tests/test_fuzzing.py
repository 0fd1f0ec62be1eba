"""Reading changed files returns a value or raises one line; `fuzzing` tries many more."""

import logging
import subprocess
import sys

import fuzzing
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    logging.disable()  # of incomplete lines
    yield fuzzing.make_targets(tmp_path_factory.mktemp("fuzzing"))
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning", "ignore:Duplicate name")
@pytest.mark.parametrize("name", ["h5", "npz", "run", "async"])
@settings(
    max_examples=60,
    deadline=2000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rng=st.randoms(use_true_random=False))
def test_a_changed_file_is_read_or_refused_in_one_line(targets, name, rng):
    target = targets[name]
    target.change(rng)
    assert fuzzing.outcome(target) in ("read", "refused")


@pytest.mark.slow
def test_cases_run_in_a_process_that_is_watched():
    done = subprocess.run(
        [sys.executable, fuzzing.__file__, "--cases", "100", "--seed", "7"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("0 failures in 100 cases")


class Failing:
    """A target that fails in the way that the test chooses."""

    def __init__(self, read):
        self.read = read


def test_other_exceptions_and_long_messages_are_failures():
    def fail(error):
        raise error

    assert fuzzing.outcome(Failing(lambda: None)) == "read"
    assert fuzzing.outcome(Failing(lambda: fail(fuzzing.LemonadeError("x")))) == "refused"
    with pytest.raises(AssertionError, match="a message of 5000 characters"):
        fuzzing.outcome(Failing(lambda: fail(fuzzing.LemonadeError("x" * 5000))))
    with pytest.raises(KeyError):
        fuzzing.outcome(Failing(lambda: fail(KeyError("x"))))
