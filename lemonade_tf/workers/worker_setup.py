"""How a worker process is set up: a plain value that the driver makes without loading Keras."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self

from lemonade_tf.datasets.source import DatasetSource
from lemonade_tf.executors import (
    Executor,
    NamesFiles,
    ProcessExecutor,
    RayExecutor,
    TaskFiles,
    count_devices,
    count_gpus,
    default_device_memory,
    default_gpus_on_ray,
    default_num_workers,
    ray_connection,
)
from lemonade_tf.executors.environment import KERAS_BACKEND
from lemonade_tf.training.settings import TrainingSettings

_logger = logging.getLogger(__name__)

# Imported first, so that Keras loads only what workers need.
_LEAN_KERAS = "lemonade_tf.workers.lean_keras"

# Entry points, MODULE:FUNCTION, which only worker processes import.
SEARCH_WORKER = "lemonade_tf.workers.worker:setup_worker"
RETRAINING_WORKER = "lemonade_tf.workers.retraining:setup_retraining"
CLUSTER_RETRAINING_WORKER = "lemonade_tf.workers.cluster_retraining:setup_cluster_retraining"


@dataclass(frozen=True)
class WorkerSetup(NamesFiles):
    """Sets up the worker process in which it is called; an executor takes it as its setup.

    Attributes:
        entry_point: MODULE:FUNCTION. The function takes the other attributes, and returns the
            function that carries out tasks.
        source: Where the process gets the data sets from.
        settings: The training settings.
        threads: CPU threads per operation; results depend on it in the last digits.
        strategy: On which devices the process trains a network; see `Backend.set_up`.
        device_memory: Gigabytes of the device's memory that the training images may take; larger
            data sets stream. None for the default, see `default_device_memory`.
        gpu_share: The fraction of a GPU that the process has, for the default.
        operators: The names of the search's operators, if some of them may be custom ones.
    """

    entry_point: str
    source: DatasetSource
    settings: TrainingSettings
    threads: int
    strategy: str = "one_per_gpu"
    device_memory: float | None = None
    gpu_share: float = 1.0
    operators: tuple[str, ...] = ()

    @property
    def preload(self) -> tuple[str, ...]:
        """Modules to import once, before worker processes are forked."""
        return _LEAN_KERAS, self.entry_point.partition(":")[0]

    @property
    def files(self) -> TaskFiles:
        """The files of the data sets."""
        return TaskFiles(read=self.source.paths)

    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the same set-up with other paths."""
        return replace(self, source=self.source.with_paths(paths))

    def __call__(self) -> Callable[[Any], Any]:
        """Set up this process, and return the function that carries out tasks."""
        from lemonade_tf.operators import find_operators  # the driver need not load them for this

        find_operators(self.operators)  # so that `replay` knows them
        module, _, function = self.entry_point.partition(":")
        set_up = getattr(import_module(module), function)
        device_memory = self.device_memory
        if device_memory is None:
            device_memory = default_device_memory(self.gpu_share)
        return set_up(
            self.source,
            self.settings,
            threads=self.threads,
            strategy=self.strategy,
            device_memory=device_memory,
        )


class ExecutorSettings(Protocol):
    """The settings of an executor, as in the configs of a search and of a retraining."""

    @property
    def workers(self) -> int | None: ...

    @property
    def executor(self) -> str: ...

    @property
    def ray_address(self) -> str | None: ...

    @property
    def gpus_per_child(self) -> float | None: ...


def connection(settings: ExecutorSettings) -> AbstractContextManager[None]:
    """Return a context in which this process is connected to the cluster that settings name.

    `make_executor` connects as well; this tells early whether it can.

    Raises:
        WorkerSetupError: On entry, if the cluster cannot be reached.
    """
    return ray_connection(settings.ray_address) if settings.executor == "ray" else nullcontext()


def make_executor(
    setup: WorkerSetup,
    settings: ExecutorSettings,
    *,
    num_workers: int | None = None,
    max_num_workers: int | None = None,
    max_task_hours: float | None = None,
    log_dir: Path | None = None,
) -> Executor:
    """Return an executor of worker processes on this machine, or on a Ray cluster.

    Args:
        setup: Sets up each process.
        settings: Which executor, and its resources.
        num_workers: The number of processes, instead of the one in the settings.
        max_num_workers: The largest number of processes that is of use; None for any.
        max_task_hours: The time limit of a task; None for no limit.
        log_dir: The folder for their output; None to discard it.

    Raises:
        WorkerSetupError: If the Ray cluster cannot be reached, or an environment variable about
            devices is invalid.
    """
    _warn_of_other_backend()
    num_workers = num_workers or settings.workers
    options: dict[str, Any] = {
        "threads": setup.threads,
        "task_timeout": None if max_task_hours is None else 3600 * max_task_hours,
        "preload": setup.preload,
        "log_dir": log_dir,
    }
    if settings.executor == "ray":
        with connection(settings):
            gpus = settings.gpus_per_child
            gpus = default_gpus_on_ray(setup.threads) if gpus is None else gpus
            return RayExecutor(
                replace(setup, gpu_share=min(1.0, gpus)),
                address=settings.ray_address,
                num_workers=num_workers,
                max_num_workers=max_num_workers,
                gpus_per_worker=gpus,
                **options,
            )
    num_workers, gpus_per_worker = _divide_devices(setup, num_workers, max_num_workers)
    share = min(1.0, count_gpus() / num_workers)
    setup = replace(setup, gpu_share=share)
    if setup.strategy == "multi_worker":  # a new process could not join those of other machines
        options["max_tasks_per_worker"] = sys.maxsize
    return ProcessExecutor(
        setup, num_workers=num_workers, gpus_per_worker=gpus_per_worker, **options
    )


def _divide_devices(
    setup: WorkerSetup, num_workers: int | None, max_num_workers: int | None
) -> tuple[int, int]:
    """Return the number of worker processes, and the number of GPUs of each."""
    num_devices = count_devices() if setup.strategy == "mirrored" else 1
    if num_workers is None:
        num_workers = 1 if num_devices > 1 else default_num_workers(setup.threads)
    num_workers = min(num_workers, max_num_workers or num_workers)
    if setup.strategy == "multi_worker":
        return 1, max(1, count_gpus())
    if setup.strategy == "one_per_gpu":
        return num_workers, 1
    gpus_per_worker = max(1, count_gpus() // num_workers)
    if (gpus_per_worker if count_gpus() else num_devices) == 1:
        _warn_of_single_device()
    return num_workers, gpus_per_worker


@cache  # once per process
def _warn_of_other_backend() -> None:
    chosen = os.environ.get("KERAS_BACKEND") or KERAS_BACKEND
    if chosen != KERAS_BACKEND:
        _logger.warning(
            "KERAS_BACKEND=%s has no effect: networks are trained with Keras on TensorFlow.", chosen
        )


@cache
def _warn_of_single_device() -> None:
    _logger.warning(
        "--strategy mirrored has no effect, because each worker has a single device; it needs two"
        " GPUs per worker or more."
    )
