"""Counting GPUs and CPU cores on simulated machines."""

import os
import shutil
import subprocess

import pytest

from lemonade_tf.executors import (
    WorkerSetupError,
    count_cores,
    count_devices,
    count_gpus,
    default_device_memory,
    default_num_workers,
    devices,
    visible_gpus,
)

LISTED = """\
GPU 0: NVIDIA H200 (UUID: GPU-aaaa)
  MIG 1g.18gb     Device  0: (UUID: MIG-bbbb)
GPU 1: NVIDIA H200 (UUID: GPU-cccc)
GPU 2: NVIDIA H200 (UUID: GPU-dddd)
"""
MEMORY = "143771\n81559\n143771\n"  # MiB


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with 8 cores, no GPUs and no quotas; returns the folder of its system files."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(devices, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(devices, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def three_gpus(machine, monkeypatch):
    """The machine with three GPUs."""

    def run(command, **options):
        memory = "--query-gpu=memory.total" in command
        return subprocess.CompletedProcess([], 0, stdout=MEMORY if memory else LISTED)

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(
    ("cores", "threads", "workers"), [(2, 1, 3), (12, 1, 6), (48, 1, 12), (48, 8, 6), (256, 1, 12)]
)
def test_several_workers_share_a_gpu_if_there_are_cores(monkeypatch, cores, threads, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    assert default_num_workers(threads) == workers


def test_a_machine_without_gpus_has_a_worker_per_core(machine):
    assert visible_gpus() == ()
    assert count_gpus() == 0
    assert default_num_workers() == 8
    assert default_num_workers(threads=3) == 2
    assert default_num_workers(threads=16) == 1


def test_without_gpus_a_variable_sets_the_number_of_logical_devices(machine, monkeypatch):
    assert count_devices() == 1
    monkeypatch.setenv("LEMONADE_LOGICAL_CPUS", "2")
    assert count_devices() == 2
    monkeypatch.setenv("LEMONADE_LOGICAL_CPUS", "two")
    with pytest.raises(WorkerSetupError, match="LEMONADE_LOGICAL_CPUS is 'two'; expected an int"):
        count_devices()


@pytest.mark.usefixtures("three_gpus")
def test_logical_devices_divide_the_cpu_only(monkeypatch):
    monkeypatch.setenv("LEMONADE_LOGICAL_CPUS", "2")
    assert count_devices() == 3


@pytest.mark.usefixtures("three_gpus")
def test_gpus_are_counted_by_nvidia_smi():
    assert visible_gpus() == ("0", "1", "2")
    assert default_num_workers() == 3  # two cores per worker and GPU are not enough for two
    assert default_num_workers(threads=4) == 3


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(
    ("given", "visible"),
    [
        ("", ()),
        ("-1", ()),
        ("2", ("2",)),
        ("2, 0", ("2", "0")),
        ("0,-1,1", ("0",)),
        ("1,7,2", ("1",)),
        ("GPU-cccc,MIG-bbbb", ("GPU-cccc", "MIG-bbbb")),
    ],
)
def test_cuda_visible_devices_restricts_gpus(monkeypatch, given, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus() == visible
    assert count_gpus() == len(visible)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("given", ["0", "GPU-aaaa"])
def test_cuda_visible_devices_adds_no_gpus(monkeypatch, given):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert count_gpus() == 0


def test_gpus_are_counted_by_files_of_the_driver_without_nvidia_smi(machine):
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (machine / "proc/driver/nvidia/gpus" / name).mkdir(parents=True)
    assert visible_gpus() == ("0", "1")


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(("share", "gigabytes"), [(1.0, 21.4), (0.25, 5.3)])
def test_a_quarter_of_the_smallest_gpu_is_for_images(share, gigabytes):
    assert default_device_memory(share) == pytest.approx(gigabytes, rel=0.01)


def test_without_nvidia_smi_the_memory_of_gpus_is_assumed(machine):
    assert default_device_memory(1.0) is None
    (machine / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    assert default_device_memory(1.0) == 2


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize("error", [OSError("no"), subprocess.TimeoutExpired("nvidia-smi", 30)])
def test_a_failing_nvidia_smi_means_no_gpus(monkeypatch, error):
    def run(*arguments, **options):
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    assert count_gpus() == 0


@pytest.mark.parametrize(
    ("group", "files", "num_cores"),
    [
        ("0::/", {}, 8),
        ("0::/a/b", {"a/b/cpu.max": "max 100000"}, 8),
        ("0::/a/b", {"a/b/cpu.max": "250000 100000"}, 2),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "6400000 100000"}, 8),
        ("0::/", {"cpu.max": ""}, 8),
        ("0::/../..", {"cpu.max": "400000 100000"}, 4),
        (
            "4:cpu,cpuacct:/a",
            {"cpu/a/cpu.cfs_quota_us": "200000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            2,
        ),
        (
            "4:cpu:/",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            8,
        ),
        ("4:memory:/a", {"cpu/a/cpu.cfs_quota_us": "1", "cpu/a/cpu.cfs_period_us": "1"}, 8),
    ],
)
def test_cores_are_limited_by_quotas_of_control_groups(machine, group, files, num_cores):
    (machine / "proc/self/cgroup").write_text(f"{group}\n")
    for name, content in files.items():
        path = machine / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert count_cores() == num_cores


def test_this_machine_has_no_more_cores_than_its_affinity():
    assert 1 <= count_cores() <= len(os.sched_getaffinity(0))
    assert default_num_workers() == (count_gpus() or count_cores())
