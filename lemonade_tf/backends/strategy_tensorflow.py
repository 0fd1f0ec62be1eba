"""The `tf.distribute.Strategy` of this process, made once at set-up.

Without GPUs, the environment variable LEMONADE_LOGICAL_CPUS divides the processor into that many
logical devices, to try a strategy and to test it. TensorFlow can divide a device only from Python
(`tf.config.set_logical_device_configuration`), and before it runs anything.
"""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import tensorflow as tf

from lemonade_tf.backends.replicas_tensorflow import Replicas

_LOGICAL_CPUS = "LEMONADE_LOGICAL_CPUS"
_current: Replicas | None = None


def current_replicas() -> Replicas | None:
    """Return the replicas on which this process trains; None if it trains on one device."""
    return _current


def set_up_replicas(strategy: str) -> None:
    """Make the strategy of this process, or use the one that it made before.

    Args:
        strategy: See `Backend.set_up`.

    Raises:
        ValueError: If there is no such strategy.
    """
    global _current
    if strategy not in _STRATEGIES:
        raise ValueError(f"strategy is {strategy!r}; expected one of {', '.join(_STRATEGIES)}.")
    _current = _STRATEGIES[strategy]()


@cache
def _mirrored() -> Replicas | None:
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    num_logical_cpus = int(os.environ.get(_LOGICAL_CPUS, "1"))
    if kind == "CPU" and num_logical_cpus > 1:
        _divide_cpu(num_logical_cpus)
    devices = tf.config.list_logical_devices(kind)
    if len(devices) == 1:
        return None
    # NCCL, the default, requires that each device is a different GPU.
    are_logical = len(devices) > len(tf.config.list_physical_devices(kind))
    reduction = tf.distribute.ReductionToOneDevice() if are_logical else None
    names = [device.name for device in devices]
    return Replicas(tf.distribute.MirroredStrategy(names, cross_device_ops=reduction))


@cache
def _multi_worker() -> Replicas:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    numbers = strategy.experimental_distribute_values_from_function(
        lambda context: np.int64(context.replica_id_in_sync_group)
    )
    return Replicas(strategy, first=int(strategy.experimental_local_results(numbers)[0]))


def _divide_cpu(num_devices: int) -> None:
    [cpu] = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration()] * num_devices
    try:
        tf.config.set_logical_device_configuration(cpu, logical)
    except RuntimeError as error:
        raise RuntimeError(
            f"{_LOGICAL_CPUS} is {num_devices}, but TensorFlow has already run in this process; set"
            " up workers in a process in which nothing has run yet."
        ) from error


_STRATEGIES = {
    "one_per_gpu": lambda: None,
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
}
