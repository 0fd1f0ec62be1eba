"""Run tasks in worker processes.

A crash, a hang or an out-of-memory kill fails only the task at hand, and the worker is replaced.
Workers that have run many tasks are replaced too, to limit memory leaks. Results do not
depend on which worker runs a task, unless the task itself does.

The driver imports none of the modules that workers need. `server` explains how workers start, and
why they cannot outlive the driver. They ignore SIGINT and SIGTERM, and write their output to files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lemonade_tf.executors import pickling
from lemonade_tf.executors.base import Setup
from lemonade_tf.executors.device_turn import mps_is_running
from lemonade_tf.executors.devices import count_gpus
from lemonade_tf.executors.pooled import PooledExecutor, check_counts
from lemonade_tf.executors.process_pool import ProcessPool, WorkerProcess


class ProcessExecutor(PooledExecutor[WorkerProcess]):
    """Runs tasks in worker processes, which are forked from a server with imported modules.

    Args:
        setup: Called once per worker before its first task; returns the function that runs a task.
            The setup, tasks and results must be picklable, and not from the main script.
        num_workers: Number of workers. GPUs are assigned to them round-robin.
        threads: CPU threads per worker. Results depend on it in the last digits.
        gpus_per_worker: GPUs per worker, if there are any.
        max_tasks_per_worker: Number of tasks after which a worker is replaced.
        task_timeout: Seconds after which a task fails and its worker is replaced; None for no
            limit.
        preload: Modules to import before any worker is forked. Importing them must not run an
            operation of TensorFlow or JAX.
        log_dir: Folder for the output of the workers, one file each; with None, only the last
            lines of a dead worker are kept, in `Outcome.log`.

    Raises:
        ValueError: If a number is out of range.
        pickle.PicklingError: If the setup cannot be pickled for a worker.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        num_workers: int,
        threads: int = 1,
        gpus_per_worker: int = 1,
        max_tasks_per_worker: int = 300,
        task_timeout: float | None = None,
        preload: Sequence[str] = (),
        log_dir: str | Path | None = None,
    ):
        check_counts(
            num_workers=num_workers,
            threads=threads,
            gpus_per_worker=gpus_per_worker,
            max_tasks_per_worker=max_tasks_per_worker,
        )
        pool = ProcessPool(
            pickling.dumps(setup),
            num_workers=num_workers,
            threads=threads,
            gpus_per_worker=gpus_per_worker,
            max_tasks_per_worker=max_tasks_per_worker,
            task_timeout=float("inf") if task_timeout is None else task_timeout,
            preload=preload,
            log_dir=None if log_dir is None else Path(log_dir),
        )
        super().__init__(pool)

    @property
    def num_turns(self) -> int:
        """Number of tasks that train at a time: at most one per GPU, if workers take turns."""
        num_gpus = 0 if mps_is_running() else count_gpus()
        return min(self.num_workers, num_gpus or self.num_workers)

    def start(self) -> None:
        """Start a worker, and wait until it is ready, before there is a task.

        Raises:
            WorkerSetupError: If workers failed to start.
        """
        while not self._pool.idle:
            self._pool.start_workers(1)
            self._pool.poll(float("inf"))
