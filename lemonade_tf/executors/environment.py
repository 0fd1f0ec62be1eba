"""The environment of workers: how many threads, which GPU, how much noise.

The libraries read these variables when they are imported (OpenBLAS) or when they run their first
operation (TensorFlow, CUDA). The number of threads is therefore set for the server, before it
imports anything, and the GPU for each worker, after it was forked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",  # the thread pools of JAX
)


def server_environment(
    inherited: Mapping[str, str], *, threads: int, share_gpus: bool
) -> dict[str, str]:
    """Return the environment to import the libraries in.

    Args:
        inherited: The environment of the driver. What it says of threads is overruled, as results
            depend on their number.
        threads: Threads of each worker.
        share_gpus: Whether several workers use one GPU, so that none may take all its memory.
    """
    defaults = {"TF_CPP_MIN_LOG_LEVEL": "1"}
    if share_gpus:
        defaults |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return {**defaults, **inherited, **dict.fromkeys(_THREADS, str(threads))}


def worker_environment(slot: int, gpus: Sequence[str]) -> dict[str, str]:
    """Return what a worker's environment has of its own.

    Args:
        slot: The number of the worker, from 0.
        gpus: The GPUs there are, by their names in CUDA_VISIBLE_DEVICES.
    """
    return {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {}
