"""How a worker process is set up: a plain value that the driver makes without loading Keras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lemonade_tf.datasets.source import DatasetSource
from lemonade_tf.executors import ProcessExecutor, default_num_workers
from lemonade_tf.training.settings import TrainingSettings

# Entry points, MODULE:FUNCTION, which only worker processes import.
SEARCH_WORKER = "lemonade_tf.workers.worker:setup_worker"
RETRAINING_WORKER = "lemonade_tf.workers.retraining:setup_retraining"


@dataclass(frozen=True)
class WorkerSetup:
    """Sets up the worker process in which it is called; an executor takes it as its setup.

    Attributes:
        entry_point: MODULE:FUNCTION. The function takes the other attributes, and returns the
            function that carries out tasks.
        source: Where the process gets the data sets from.
        settings: The training settings.
        threads: CPU threads per operation; results depend on it in the last digits.
    """

    entry_point: str
    source: DatasetSource
    settings: TrainingSettings
    threads: int

    @property
    def preload(self) -> tuple[str, ...]:
        """Modules to import once, before worker processes are forked."""
        return (self.entry_point.partition(":")[0],)

    def __call__(self) -> Callable[[Any], Any]:
        """Set up this process, and return the function that carries out tasks."""
        module, _, function = self.entry_point.partition(":")
        set_up = getattr(import_module(module), function)
        return set_up(self.source, self.settings, threads=self.threads)


def worker_processes(
    setup: WorkerSetup,
    *,
    num_workers: int | None = None,
    max_num_workers: int | None = None,
    max_task_hours: float | None = None,
    log_dir: Path | None = None,
) -> ProcessExecutor:
    """Return an executor of worker processes.

    Args:
        setup: Sets up each process.
        num_workers: The number of processes; None for one per GPU, or one per CPU core.
        max_num_workers: The largest number of processes that is of use; None for any.
        max_task_hours: The time limit of a task; None for no limit.
        log_dir: The folder for their output; None to discard it.
    """
    num_workers = num_workers or default_num_workers(setup.threads)
    return ProcessExecutor(
        setup,
        num_workers=min(num_workers, max_num_workers or num_workers),
        threads=setup.threads,
        task_timeout=None if max_task_hours is None else 3600 * max_task_hours,
        preload=setup.preload,
        log_dir=log_dir,
    )
