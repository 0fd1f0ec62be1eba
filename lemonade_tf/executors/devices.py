"""Count the GPUs and CPU cores available to this process, without loading TensorFlow.

Only NVIDIA GPUs are counted: CUDA_VISIBLE_DEVICES assigns each of them to a process. Without GPUs,
the environment variable LEMONADE_LOGICAL_CPUS divides the CPU of each worker into that many logical
devices, so that training on several devices can be tried.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lemonade_tf.executors.base import WorkerSetupError

_MAX_PER_GPU, _CORES_TO_COMPILE = 4, 2
_LOGICAL_CPUS = "LEMONADE_LOGICAL_CPUS"
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_IMAGES_SHARE = 1 / 4  # of the memory of a GPU
_UNKNOWN_GPU_MEMORY = 8.0  # gigabytes


def count_gpus() -> int:
    """Count the GPUs available to this process."""
    return len(visible_gpus())


def visible_gpus() -> tuple[str, ...]:
    """Return the available GPUs as they are named in CUDA_VISIBLE_DEVICES."""
    num_installed = _count_installed_gpus()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return tuple(map(str, range(num_installed)))
    gpus = []
    for gpu in map(str.strip, given.split(",")):
        number = int(gpu) if gpu.lstrip("-").isdecimal() else None
        known = 0 <= number < num_installed if number is not None else bool(gpu and num_installed)
        if not known:
            break  # like CUDA, which ignores all devices after an invalid one
        gpus.append(gpu)
    return tuple(gpus)


def count_cores() -> int:
    """Count the CPU cores available to this process, by its affinity and its quota."""
    try:
        num_cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        num_cores = os.cpu_count() or 1
    return max(1, int(min([num_cores, *_quotas()])))


def default_num_workers(threads: int = 1) -> int:
    """Return the default number of workers: what the CPU cores allow, or up to four per GPU.

    Workers that share a GPU take turns at training; compiling, which the others do meanwhile,
    takes up to three times as long, and keeps about two cores busy.

    Args:
        threads: CPU threads per worker.
    """
    num_gpus = count_gpus()
    if not num_gpus:
        return max(1, count_cores() // threads)
    return num_gpus * workers_per_gpu(count_cores(), num_gpus, threads)


def workers_per_gpu(num_cores: float, num_gpus: float, threads: int) -> int:
    """Return the default number of workers that share a GPU; see `default_num_workers`.

    Args:
        num_cores: CPU cores of the machine or the cluster.
        num_gpus: Its GPUs, at least 1.
        threads: CPU threads per worker.
    """
    per_gpu = num_cores // (num_gpus * max(threads, _CORES_TO_COMPILE))
    return min(_MAX_PER_GPU, max(1, int(per_gpu)))


def count_devices() -> int:
    """Count the devices on which a single worker can train a network: GPUs, or logical CPUs.

    Raises:
        WorkerSetupError: If LEMONADE_LOGICAL_CPUS is not a positive integer.
    """
    text = os.environ.get(_LOGICAL_CPUS, "1")
    if not text.isdecimal() or int(text) < 1:
        raise WorkerSetupError(
            f"the environment variable {_LOGICAL_CPUS} is {text!r}; expected an integer of at"
            " least 1."
        )
    return count_gpus() or int(text)


def default_device_memory(gpu_share: float) -> float | None:
    """Return the gigabytes of its GPU that a worker may fill with training images by default.

    Networks need the rest, three quarters.

    Args:
        gpu_share: The fraction of the GPU that the worker has.

    Returns:
        None for no limit: without GPUs, large images are used where they are.
    """
    if not count_gpus():
        return None
    return _IMAGES_SHARE * gpu_share * (_installed_gpu_memory() or _UNKNOWN_GPU_MEMORY)


def _installed_gpu_memory() -> float | None:
    """Return the gigabytes of the smallest installed GPU; None if nvidia-smi does not tell."""
    listed = _nvidia_smi("--query-gpu=memory.total", "--format=csv,noheader,nounits")  # MiB
    sizes = [int(line) * 2**20 / 1e9 for line in listed or () if line.strip().isdecimal()]
    return min(sizes, default=None)


def _nvidia_smi(*arguments: str) -> list[str] | None:
    """Return the lines that nvidia-smi prints; None if it is not installed."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines()


def _count_installed_gpus() -> int:
    """Count with nvidia-smi, or by the files of the driver if it is not installed."""
    listed = _nvidia_smi("-L")
    if listed is not None:
        return sum(line.startswith("GPU ") for line in listed)
    try:
        return len(list((_PROC / "driver/nvidia/gpus").iterdir()))
    except OSError:
        return 0


def _quotas() -> Iterator[float]:
    """Yield the CPU quotas that containers and job schedulers set (control groups), in cores."""
    try:
        groups = (_PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for group in groups:
        _, controllers, name = group.split(":", 2)
        if controllers == "":
            yield from _quotas_of(_CGROUPS, name, ("cpu.max",))
        elif "cpu" in controllers.split(","):
            files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            yield from _quotas_of(_CGROUPS / "cpu", name, files)


def _quotas_of(root: Path, name: str, files: tuple[str, ...]) -> Iterator[float]:
    """Yield the quotas of a control group and its ancestors."""
    group = root / name.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            return
        try:
            quota, period = " ".join((folder / file).read_text() for file in files).split()
        except (OSError, ValueError):
            continue
        if quota not in ("max", "-1"):
            yield int(quota) / int(period)
