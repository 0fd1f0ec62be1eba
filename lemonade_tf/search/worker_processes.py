"""Start the worker processes of a search."""

from __future__ import annotations

from pathlib import Path

from lemonade_tf.config import SearchConfig
from lemonade_tf.datasets.source import NamedDatasets
from lemonade_tf.executors import ProcessExecutor
from lemonade_tf.workers.worker_setup import SEARCH_WORKER, WorkerSetup, worker_processes


def worker_setup(config: SearchConfig) -> WorkerSetup:
    """Return the set-up of a worker that carries out the tasks of a search.

    Pass it to a custom executor:

        with InProcessExecutor(worker_setup(config)) as executor:
            search(config, executor=executor)
    """
    source = NamedDatasets(config.dataset, config.data_dir)
    return WorkerSetup(SEARCH_WORKER, source, config.training, config.threads)


def search_workers(
    config: SearchConfig, *, num_workers: int | None = None, log_dir: Path | None = None
) -> ProcessExecutor:
    """Return an executor of worker processes for a search.

    Args:
        config: The settings.
        num_workers: The number of processes; by default, as in the settings.
        log_dir: The folder for their output; None to discard it.
    """
    return worker_processes(
        worker_setup(config),
        num_workers=num_workers or config.workers,
        max_task_hours=config.max_child_hours,
        log_dir=log_dir,
    )
