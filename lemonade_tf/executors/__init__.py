"""Run independent tasks, such as the training of a child, here or in other processes.

Knows nothing of networks: what a task is, and what runs one, is the caller's.
"""

from lemonade_tf.executors.base import Executor, Outcome, WorkerSetupError
from lemonade_tf.executors.devices import (
    count_cores,
    count_gpus,
    default_num_workers,
    visible_gpus,
)
from lemonade_tf.executors.in_process import InProcessExecutor
from lemonade_tf.executors.processes import ProcessExecutor

__all__ = [
    # running tasks
    "Executor",
    "InProcessExecutor",
    "Outcome",
    "ProcessExecutor",
    "WorkerSetupError",
    # what there is to run them on
    "count_cores",
    "count_gpus",
    "default_num_workers",
    "visible_gpus",
]
