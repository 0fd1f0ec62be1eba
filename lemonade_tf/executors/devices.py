"""Count the GPUs and the cores that this process may use, without loading TensorFlow.

Only NVIDIA's GPUs are counted: they are what can be given to one process each by environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def count_gpus() -> int:
    """Count the GPUs that this process may use."""
    return len(visible_gpus())


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    num_installed = _count_installed_gpus()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return tuple(map(str, range(num_installed)))
    gpus = []
    for gpu in map(str.strip, given.split(",")):
        number = int(gpu) if gpu.lstrip("-").isdecimal() else None
        known = 0 <= number < num_installed if number is not None else bool(gpu and num_installed)
        if not known:
            break  # as CUDA does: what follows an unknown one is invisible
        gpus.append(gpu)
    return tuple(gpus)


def count_cores() -> int:
    """Count the cores that this process may use: those of its affinity, within its quota."""
    try:
        num_cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this operating system
        num_cores = os.cpu_count() or 1
    return max(1, int(min([num_cores, *_quotas()])))


def default_num_workers(threads: int = 1) -> int:
    """Return how many workers to run: one a GPU; without GPUs, as many as there are cores for.

    Args:
        threads: Threads of each worker.
    """
    return count_gpus() or max(1, count_cores() // threads)


def _count_installed_gpus() -> int:
    """Ask the driver's tool; where there is none, count what the driver lists."""
    tool = shutil.which("nvidia-smi")
    if tool is not None:
        try:
            listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            return 0
        return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    try:
        return len(list((_PROC / "driver/nvidia/gpus").iterdir()))
    except OSError:
        return 0


def _quotas() -> Iterator[float]:
    """Yield the quotas of cores that containers and job systems (control groups) set."""
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
    """Yield the quotas of a control group and of those that it is in."""
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
