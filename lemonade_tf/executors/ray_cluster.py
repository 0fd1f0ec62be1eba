"""Run tasks on a Ray cluster.

Ray decides where a worker runs and moves bytes; `ray_pool` and `node_worker` explain the rest. The
nodes need this package, but no files: those that a setup or a task names (`NamesFiles`) travel, and
what a task writes comes back.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lemonade_tf.executors import pickling
from lemonade_tf.executors.base import Setup
from lemonade_tf.executors.devices import workers_per_gpu
from lemonade_tf.executors.pooled import PooledExecutor, check_counts
from lemonade_tf.executors.ray_connection import ray_connection
from lemonade_tf.executors.task_files import files_of


class RayExecutor(PooledExecutor):
    """Runs tasks on the nodes of a Ray cluster.

    If a node is lost, its tasks fail with the cause "died", and workers start on other nodes.

    Args:
        setup: As for `ProcessExecutor`.
        address: The cluster; see `ray_connection`.
        num_workers: Number of workers; by default, as many as the resources of the cluster allow
            at the time, which may change.
        max_num_workers: The largest number of workers that is of use.
        threads: CPU threads per worker, and the CPUs that it requests from Ray.
        gpus_per_worker: GPUs that a worker requests from Ray: a number, or a fraction to share a
            GPU. Defaults to `default_gpus_on_ray`.
        max_tasks_per_worker: As for `ProcessExecutor`.
        task_timeout: As for `ProcessExecutor`.
        preload: As for `ProcessExecutor`.
        log_dir: Folder for the output of the workers, one file each; None to discard it.

    Raises:
        ValueError: If a number is out of range.
        pickle.PicklingError: If the setup cannot be pickled for a worker.
        WorkerSetupError: If Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        address: str | None = None,
        num_workers: int | None = None,
        max_num_workers: int | None = None,
        threads: int = 1,
        gpus_per_worker: float | None = None,
        max_tasks_per_worker: int = 300,
        task_timeout: float | None = None,
        preload: Sequence[str] = (),
        log_dir: str | Path | None = None,
    ) -> None:
        check_counts(threads=threads, max_tasks_per_worker=max_tasks_per_worker)
        optional = {"num_workers": num_workers, "max_num_workers": max_num_workers}
        check_counts(**{name: each for name, each in optional.items() if each is not None})
        pickled = pickling.dumps(setup)
        with ExitStack() as stack:
            stack.enter_context(ray_connection(address))
            from lemonade_tf.executors.node_worker import NodeConfig
            from lemonade_tf.executors.ray_pool import RayPool

            if gpus_per_worker is None:
                gpus_per_worker = default_gpus_on_ray(threads)
            config = NodeConfig(
                key=uuid.uuid4().hex,
                setup=pickled,
                path=tuple(os.path.abspath(entry) for entry in sys.path),
                threads=threads,
                gpus=gpus_per_worker,
                max_tasks_per_worker=max_tasks_per_worker,
                task_timeout=task_timeout,
                preload=tuple(preload),
            )
            pool = RayPool(
                config,
                num_workers=num_workers,
                max_num_workers=max_num_workers,
                setup_files=files_of(setup),
                log_dir=None if log_dir is None else Path(log_dir),
            )
            self._connection = stack.pop_all()
        super().__init__(pool)

    def close(self) -> None:
        if not self._is_closed:
            super().close()
            self._connection.close()


def default_gpus_on_ray(threads: int = 1) -> float:
    """Return the default number of GPUs per worker on the cluster: a fraction, or 0 without GPUs.

    Workers share GPUs as on a single machine, see `default_num_workers`. The process must be
    connected to the cluster.

    Args:
        threads: CPU threads per worker.
    """
    import ray

    resources = ray.cluster_resources()
    num_gpus = resources.get("GPU", 0)
    return 1 / workers_per_gpu(resources.get("CPU", 0), num_gpus, threads) if num_gpus >= 1 else 0.0
