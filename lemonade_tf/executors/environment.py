"""Environment variables of workers: number of threads, GPU, log level, Keras backend.

Libraries read these variables on import (OpenBLAS) or before their first operation (TensorFlow,
CUDA). So the number of threads is set for the server, before its imports, and the GPU for each
worker, after the fork. The server also imports Keras, which asks KERAS_BACKEND before keras.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from lemonade_tf.executors.device_turn import sharing_variables, turn_variables

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",  # thread pools of JAX
)

# Whatever the user has set for other work; the only backend that `lemonade_tf.backends` supports.
KERAS_BACKEND = "tensorflow"

# For a GPU that several workers share, so that none reserves all its memory.
SHARED_GPU = {
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


def server_environment(
    inherited: Mapping[str, str], *, threads: int, share_gpus: bool
) -> dict[str, str]:
    """Return the environment of the server.

    Args:
        inherited: The environment of the driver. Its numbers of threads and Keras backend are
            replaced, because results depend on them.
        threads: CPU threads per worker.
        share_gpus: Whether several workers share a GPU.
    """
    defaults = {"TF_CPP_MIN_LOG_LEVEL": "1", **(SHARED_GPU if share_gpus else {})}
    fixed = {"KERAS_BACKEND": KERAS_BACKEND, **dict.fromkeys(_THREADS, str(threads))}
    return {**defaults, **inherited, **fixed}


def worker_environment(
    slot: int, gpus: Sequence[str], *, num_workers: int = 1, gpus_per_worker: int = 1
) -> dict[str, str]:
    """Return the variables that a worker adds to the environment of the server.

    Args:
        slot: The number of the worker, from 0.
        gpus: The available GPUs as in CUDA_VISIBLE_DEVICES, assigned round-robin.
        num_workers: The number of workers.
        gpus_per_worker: How many of them a worker gets.
    """
    if not gpus:
        return {}
    first = slot * gpus_per_worker
    assigned = [gpus[number % len(gpus)] for number in range(first, first + gpus_per_worker)]
    variables = {"CUDA_VISIBLE_DEVICES": ",".join(assigned), **turn_variables(assigned)}
    num_sharing = ceil(num_workers * gpus_per_worker / len(gpus))
    return variables | (sharing_variables(num_sharing) if num_sharing > 1 else {})
