"""Turns of processes that share a GPU."""

import subprocess
import sys

import pytest

from lemonade_tf.executors.device_turn import device_turn, num_sharing, turn_variables
from lemonade_tf.executors.environment import worker_environment

# Prints when it starts to wait and when its turn starts; then waits to be killed.
OTHER = """
import sys, time
from lemonade_tf.executors.device_turn import device_turn
print("waits", flush=True)
with device_turn():
    print("turn", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Set the variables of a process with the given GPUs."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def use(*names):
        for name, value in turn_variables(names).items():
            monkeypatch.setenv(name, value)

    return use


@pytest.fixture
def start():
    """Start processes that take a turn on the GPUs set at that time."""
    started = []

    def start_one():
        process = subprocess.Popen(
            [sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "waits\n"
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_waits_until_the_turn_of_another_ends(gpus, start):
    gpus("0")
    with device_turn() as seconds:
        assert seconds < 1
        other = start()
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.3)
    assert other.stdout.readline() == "turn\n"


def test_the_name_of_a_part_of_a_gpu_may_contain_slashes(gpus):
    gpus("MIG-GPU-5c5b/1/0")
    with device_turn() as seconds:
        assert seconds < 10


def test_a_killed_process_gives_its_turn_back(gpus, start):
    gpus("0")
    first = start()
    assert first.stdout.readline() == "turn\n"
    second = start()
    first.kill()
    assert second.stdout.readline() == "turn\n"


def test_processes_on_different_gpus_do_not_wait(gpus, start):
    gpus("0")
    with device_turn():
        gpus("1", "2")
        assert start().stdout.readline() == "turn\n"


def test_a_process_with_several_gpus_waits_for_each(gpus, start):
    gpus("2")
    with device_turn():
        gpus("1", "2")
        other = start()
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.3)
    assert other.stdout.readline() == "turn\n"


def test_without_gpus_nobody_waits(monkeypatch):
    assert turn_variables([]) == {}
    for name in turn_variables(["0"]):
        monkeypatch.delenv(name, raising=False)
    with device_turn() as outer, device_turn() as inner:
        assert max(outer, inner) < 1
    assert num_sharing() == 1


def test_a_worker_knows_how_many_share_its_gpu(monkeypatch):
    for name, value in worker_environment(1, ["0", "1"], num_workers=7).items():
        monkeypatch.setenv(name, value)
    assert num_sharing() == 4


def test_under_mps_nobody_waits(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert turn_variables(["0"])
    (tmp_path / "control").touch()
    assert turn_variables(["0"]) == {}
