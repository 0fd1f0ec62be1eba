"""Start the workers of a search."""

from __future__ import annotations

from pathlib import Path

from lemonade_tf.config import SearchConfig
from lemonade_tf.datasets.source import DatasetSource, NamedDatasets
from lemonade_tf.executors import Executor
from lemonade_tf.workers.worker_setup import SEARCH_WORKER, WorkerSetup, make_executor


def worker_setup(config: SearchConfig, source: DatasetSource | None = None) -> WorkerSetup:
    """Return the set-up of a worker that carries out the tasks of a search.

    Pass it to a custom executor:

        with InProcessExecutor(worker_setup(config)) as executor:
            search(config, executor=executor)

    Args:
        config: The settings.
        source: Where the worker gets the data sets from; by default, it loads them by name.
    """
    if source is None:
        source = NamedDatasets(config.dataset, config.data_dir, config.cache_dir, config.image_size)
    return WorkerSetup(
        SEARCH_WORKER,
        source,
        config.training,
        config.threads,
        config.strategy,
        config.device_memory,
        operators=config.operators,
    )


def search_workers(
    config: SearchConfig,
    source: DatasetSource | None = None,
    *,
    num_workers: int | None = None,
    log_dir: Path | None = None,
) -> Executor:
    """Return the executor of a search.

    Args:
        config: The settings.
        source: As for `worker_setup`.
        num_workers: The number of workers; by default, as in the settings.
        log_dir: The folder for their output; None to discard it.
    """
    return make_executor(
        worker_setup(config, source),
        config,
        num_workers=num_workers,
        max_task_hours=config.max_child_hours,
        log_dir=log_dir,
    )


def workers_text(executor: Executor) -> str:
    """Return how many workers an executor has, as text."""
    return f"{executor.num_workers} worker{'s' * (executor.num_workers > 1)}"
