"""Run independent tasks, such as the training of a child, in this process or in others.

This package knows nothing about networks: the caller defines the tasks and the function that runs
one.
"""

from lemonade_tf.executors.base import WAIT, Executor, Outcome, WorkerSetupError
from lemonade_tf.executors.devices import (
    count_cores,
    count_devices,
    count_gpus,
    default_device_memory,
    default_num_workers,
    visible_gpus,
)
from lemonade_tf.executors.in_process import InProcessExecutor
from lemonade_tf.executors.processes import ProcessExecutor
from lemonade_tf.executors.ray_cluster import RayExecutor, default_gpus_on_ray
from lemonade_tf.executors.ray_connection import ray_connection
from lemonade_tf.executors.task_files import NamesFiles, TaskFiles

__all__ = [
    # running tasks
    "WAIT",
    "Executor",
    "InProcessExecutor",
    "Outcome",
    "ProcessExecutor",
    "RayExecutor",
    "WorkerSetupError",
    "ray_connection",
    # files of tasks
    "NamesFiles",
    "TaskFiles",
    # the machine
    "count_cores",
    "count_devices",
    "count_gpus",
    "default_device_memory",
    "default_gpus_on_ray",
    "default_num_workers",
    "visible_gpus",
]
