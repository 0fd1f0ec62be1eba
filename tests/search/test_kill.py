"""A search that is killed, or stopped by Ctrl-C, resumes to the same result."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from data_sets import write_data_sets
from toy_training import cut, results, toy_search

from lemonade_tf.monitoring.callback import Callback

TESTS = Path(__file__).parents[1]


def start(workdir, fault="", seconds=0.03, **settings):
    """Start a search in a separate process."""
    return subprocess.Popen(
        [sys.executable, TESTS / "toy_training.py", workdir, json.dumps(settings), fault],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent, TESTS))),
            "TOY_SECONDS": str(seconds),
        },
        start_new_session=True,
    )


def descendants(pid):
    """Return the ids of the processes that a process started, and those that they did."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = [pid]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


def kill(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def killed_at_moments(folder, whole, number, **settings):
    """Kill a search at random moments, its workers too in half of the cases, and resume it.

    Args:
        folder: Where.
        whole: The expected results; None to compare with a replay of the run that was killed.
        number: The seed of the moments.
        **settings: Settings of the search.
    """
    rng = random.Random(number)
    workdir = folder / f"run-{number}"
    num_lines = rng.randrange(17)
    process = start(workdir, seconds=0.1, **settings)
    with process:
        if num_lines:
            wait_for_lines(workdir, num_lines)
        time.sleep(rng.uniform(0, 0.2 if num_lines else 2))
        if number % 2:
            for pid in descendants(process.pid):
                kill(pid)
        kill(process.pid)
    reported = b""
    if (workdir / "history.jsonl").exists():
        content = (workdir / "history.jsonl").read_bytes()
        reported = content[: content.rfind(b"\n") + 1]
    for path in workdir.glob("models/*.h5"):
        json.loads(path.read_text())  # whole
    process = start(workdir, resume=True, **settings)
    out, err = process.communicate(timeout=120)
    assert (out, process.returncode) == ("complete\n", 0), err
    if whole is None:
        toy_search(folder / f"again-{number}", in_process=True, replay=str(workdir))
        whole = results(folder / f"again-{number}")
        assert list(results(workdir)["history"]) == list(whole["history"])
        assert len(whole["history"]) == 16
    assert results(workdir) == whole
    assert (workdir / "history.jsonl").read_bytes().startswith(reported)
    assert not (workdir / "staging").exists()
    assert not list(workdir.rglob("*.unfinished*"))
    return len(reported.splitlines())


def wait_for_lines(workdir, number, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        path = workdir / "history.jsonl"
        if path.exists() and path.read_bytes().count(b"\n") >= number:
            return
        time.sleep(0.02)
    raise AssertionError(f"not {number} networks in {seconds} s")


# --- kill -9 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(4))
def test_killed_at_random_moments(tmp_path, whole, number):
    killed_at_moments(tmp_path, whole, number)


@pytest.mark.parametrize("number", [4, 5])
def test_killed_at_random_moments_of_a_search_over_two_data_sets(tmp_path, number):
    settings = {"dataset": ",".join(write_data_sets(tmp_path))}
    toy_search(tmp_path / "whole", in_process=True, **settings)
    killed_at_moments(tmp_path, results(tmp_path / "whole"), number, **settings)


@pytest.fixture(scope="module")
def asynchronous(tmp_path_factory):
    """The folder and the results of an uninterrupted asynchronous search."""
    workdir = tmp_path_factory.mktemp("asynchronous") / "run"
    toy_search(workdir, mode="asynchronous")
    return workdir, results(workdir)


def test_killed_at_random_moments_of_a_replay(tmp_path, asynchronous):
    """The end is that of the search that was not killed."""
    killed_at_moments(tmp_path, asynchronous[1], 6, replay=str(asynchronous[0]))


@pytest.mark.parametrize("number", [7, 8])
def test_killed_at_random_moments_of_an_asynchronous_search(tmp_path, number):
    """The end is that of a search that was not killed and completed children in this order."""
    killed_at_moments(tmp_path, None, number, mode="asynchronous")


@pytest.mark.slow
def test_killed_at_many_random_moments_of_asynchronous_searches(tmp_path, asynchronous, request):
    networks = [
        killed_at_moments(tmp_path, None, number, mode="asynchronous")
        if number % 3
        else killed_at_moments(tmp_path, asynchronous[1], number, replay=str(asynchronous[0]))
        for number in range(9, 9 + request.config.getoption("kills"))
    ]
    print(f"\nrecorded networks when killed: {networks}")
    assert len(set(networks)) > 3  # the moments did differ


@pytest.mark.slow
def test_killed_at_many_random_moments(tmp_path, whole, request):
    networks = [
        killed_at_moments(tmp_path, whole, number)
        for number in range(4, 4 + request.config.getoption("kills"))
    ]
    print(f"\nrecorded networks when killed: {networks}")
    assert len(set(networks)) > 3  # the moments did differ


def test_a_search_whose_workers_are_killed_completes(tmp_path, whole):
    """Killed networks are recorded as failures."""
    process = start(tmp_path / "run", seconds=0.3)
    with process:
        while process.poll() is None:
            time.sleep(0.7)
            workers = [
                pid for server in descendants(process.pid)[:1] for pid in descendants(server)
            ]
            for pid in workers[:1]:
                kill(pid)
        out, err = process.communicate()
    assert (out, process.returncode) == ("complete\n", 0), err
    found = results(tmp_path / "run")["history"]
    assert len(found) == len(whole["history"])
    for line in found.values():
        assert line.failure is None or "SIGKILL" in line.failure


def test_files_left_by_a_killed_search_are_removed_on_resuming(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    workdir = cut(tmp_path / "run", 5)
    leftover = workdir / "staging" / f"1-0.{process.pid}.h5"
    leftover.parent.mkdir(exist_ok=True)
    leftover.touch()
    there = []

    class Watch(Callback):
        def on_search_begin(self, state):
            there.append(leftover.exists())

    toy_search(workdir, in_process=True, resume=True, callbacks=[Watch()])
    assert there == [False]


# --- Ctrl-C ----------------------------------------------------------------------------------


def test_one_ctrl_c_finishes_the_running_networks(tmp_path, whole):
    workdir = tmp_path / "run"
    process = start(workdir, seconds=1.0)
    with process:
        wait_for_lines(workdir, 5)
        time.sleep(0.3)  # others are running
        number = (workdir / "history.jsonl").read_bytes().count(b"\n")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("stopped\n", "", 0)
    assert number < len(results(workdir)["history"]) <= number + 3  # one may end meanwhile
    toy_search(workdir, in_process=True, resume=True)
    assert results(workdir) == whole


def test_two_ctrl_c_stop_immediately(tmp_path, whole):
    workdir = tmp_path / "run"
    process = start(workdir, "hang:1-0,1-1,1-2,1-3,1-4,1-5,1-6,1-7,1-8,1-9")
    with process:
        wait_for_lines(workdir, 4)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in err
    assert len(results(workdir)["history"]) == 4
    toy_search(workdir, in_process=True, resume=True)
    assert results(workdir) == whole
