"""The in-process executor, and the tests that every executor must pass."""

import time

import executor_toys as toys
import pytest

from lemonade_tf.executors import (
    WAIT,
    InProcessExecutor,
    ProcessExecutor,
    RayExecutor,
    WorkerSetupError,
)


def _in_process(setup):
    return InProcessExecutor(setup)


def _one_process(setup):
    return ProcessExecutor(setup, num_workers=1)


def _three_processes(setup):
    return ProcessExecutor(setup, num_workers=3)


def _ray(setup):
    return RayExecutor(setup, num_workers=1)


@pytest.fixture(
    params=[_in_process, _one_process, _three_processes, pytest.param(_ray, marks=pytest.mark.slow)]
)
def make(request):
    if request.param is _ray:
        request.getfixturevalue("ray_cluster")
    return request.param


def test_every_task_has_one_outcome(make):
    tasks = [("slow_square", number) for number in range(8)]
    with make(toys.plain) as executor:
        outcomes = list(executor.run(tasks))
    assert all(any(o.task is task for task in tasks) for o in outcomes)
    assert sorted((o.task[1], o.result) for o in outcomes) == [(n, n * n) for n in range(8)]
    assert all(o.failure is None and o.seconds >= 0.04 * (o.task[1] % 3) for o in outcomes)


def test_an_exception_becomes_a_failure_in_one_line(make):
    with make(toys.plain) as executor:
        [outcome] = executor.run([("fail", "no\nluck")])
        [other] = executor.run([("square", 3)])
    assert outcome.result is None
    assert outcome.failure == "ValueError: no luck"
    assert outcome.log.startswith("Traceback")
    assert "raise ValueError(message)" in outcome.log
    assert other.result == 9


def test_a_long_message_is_truncated(make):
    with make(toys.plain) as executor:
        [outcome] = executor.run([("fail", "x" * 10_000)])
    assert len(outcome.failure) == 500
    assert "x" * 10_000 in outcome.log


def test_a_failing_setup_raises_its_message(make):
    message = r"^There is no file /data/mine\.npz; give another path\.$"
    with make(toys.missing_data) as executor, pytest.raises(WorkerSetupError, match=message) as e:
        list(executor.run([("square", 1)] * 5))
    assert "in missing_data" in e.value.log


def test_a_setup_with_a_bug_raises_with_the_exception_type(make):
    with make(toys.wrong_key) as executor, pytest.raises(WorkerSetupError, match=r"^KeyError: 'i"):
        list(executor.run([("square", 1)]))


def test_without_tasks_there_is_no_setup(make):
    with make(toys.missing_data) as executor:
        assert list(executor.run([])) == []


def test_the_setup_is_called_once_for_several_runs(make, tmp_path):
    with make(toys.Count(tmp_path / "setups")) as executor:
        for _ in range(3):
            list(executor.run([("square", 1)]))
    assert len((tmp_path / "setups").read_text().splitlines()) == 1


def test_no_task_is_started_after_the_deadline(make):
    taken = []

    def tasks():
        for number in range(100):
            taken.append(number)
            yield "sleep", 0.2

    with make(toys.plain) as executor:
        list(executor.run([("square", 1)] * 3))  # all workers are ready
        outcomes = list(executor.run(tasks(), deadline=time.monotonic() + 0.3))
    assert all(outcome.result == 0.2 for outcome in outcomes)
    assert len(outcomes) == len(taken)
    assert 2 <= len(outcomes) <= 6


def test_a_deadline_in_the_past_prevents_the_setup(make):
    with make(toys.missing_data) as executor:
        assert list(executor.run([("square", 1)], deadline=time.monotonic() - 1)) == []


def test_tasks_are_taken_lazily(make):
    given, done = [], []

    def tasks():
        for number in range(12):
            given.append(number)
            assert len(given) - len(done) <= 3
            yield "square", number

    with make(toys.plain) as executor:
        done.extend(executor.run(tasks()))
    assert len(done) == 12


def test_tasks_may_wait_for_outcomes(make):
    """Workers stay idle, and the run does not end, until there is a task again."""
    running, most = set(), []

    def tasks():
        for number in range(5):
            while running:
                yield WAIT
            running.add(number)
            yield "square", number

    with make(toys.plain) as executor:
        for outcome in executor.run(tasks()):
            most.append(len(running))
            running.discard(outcome.task[1])
    assert most == [1] * 5


def test_an_exception_of_the_task_iterator_is_raised(make):
    def tasks():
        yield "square", 1
        raise LookupError("no more")

    with make(toys.plain) as executor:
        with pytest.raises(LookupError, match="no more"):
            list(executor.run(tasks()))
        assert [outcome.result for outcome in executor.run([("square", 2)])] == [4]


def test_closing_twice_has_no_effect(make):
    executor = make(toys.plain)
    [outcome] = executor.run([("square", 3)])
    executor.close()
    executor.close()
    assert outcome.result == 9
