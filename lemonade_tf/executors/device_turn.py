"""Processes that share a GPU train on it in turns.

The GPU switches between processes in time slices, and wastes most of its time on that: on an H100,
four processes that trained at the same time processed a fifth of the images of a single one
(docs/measured.md). So each process builds and compiles while another trains, and then has the GPU
for itself. This holds for training compiled by XLA, which keeps the GPU busy. Otherwise the GPU
waits for each step to be launched nine tenths of the time, and processes do not wait for a turn.

A turn is an exclusive lock on a file per GPU in the temporary folder, which also covers several
searches on one machine. The operating system releases it when a process ends for any reason.

Under NVIDIA's Multi-Process Service (MPS), kernels of several processes run at the same time, and
nobody waits.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

_LOCKS, _SHARING = "LEMONADE_TF_GPU_LOCKS", "LEMONADE_TF_GPU_WORKERS"


def turn_variables(gpus: Sequence[str]) -> dict[str, str]:
    """Return the environment variables of a worker that trains on these GPUs in turns.

    Args:
        gpus: The GPUs as in CUDA_VISIBLE_DEVICES.
    """
    if mps_is_running():
        return {}
    folder, user = Path(tempfile.gettempdir()), os.getuid()
    names = [gpu.replace("/", "-") for gpu in sorted(gpus)]  # MIG-GPU-UUID/INSTANCE/INSTANCE
    files = [str(folder / f"lemonade_tf-{user}-gpu-{name}.lock") for name in names]
    return {_LOCKS: os.pathsep.join(files)} if files else {}


def sharing_variables(number: int) -> dict[str, str]:
    """Return the environment variables of a worker that shares its GPUs.

    Args:
        number: How many workers share them, this one included.
    """
    return {_SHARING: str(number)}


def num_sharing() -> int:
    """Return how many workers share the GPUs of this one."""
    return int(os.environ.get(_SHARING, "1"))


def mps_is_running() -> bool:
    """Return whether the daemon of NVIDIA's Multi-Process Service runs for this process."""
    folder = os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")
    return Path(folder, "control").exists()


@contextmanager
def device_turn() -> Iterator[float]:
    """Wait until no other process trains on the GPUs of this one, and keep others waiting.

    Yields:
        The seconds waited; 0 in a process without `turn_variables`.
    """
    start = time.perf_counter()
    with ExitStack() as stack:
        # In the same order in all processes, so that no two wait for each other.
        for path in filter(None, os.environ.get(_LOCKS, "").split(os.pathsep)):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            descriptor = os.open(path, flags, 0o600)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield time.perf_counter() - start
