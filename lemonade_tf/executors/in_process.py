"""Run tasks one after the other in this process: for debugging, and where nothing can be forked.

A task that crashes the process, or leaks memory, does so to the search as well; there is no way
to abort one.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lemonade_tf.executors.base import (
    Executor,
    Outcome,
    Setup,
    Task,
    TaskQueue,
    WorkerSetupError,
    describe_error,
    describe_setup_error,
    errno_of,
)


class InProcessExecutor(Executor):
    """Runs tasks in this process.

    Args:
        setup: Called once, before the first task; returns the function that runs a task.
    """

    def __init__(self, setup: Setup):
        self._setup = setup
        self._function: Callable[[Task], Any] | None = None

    def run(self, tasks: Iterable[Task], *, deadline: float | None = None) -> Iterator[Outcome]:
        queue = TaskQueue(tasks, deadline)
        if queue.num_left and self._function is None:
            self._function = self._set_up()
        for task in queue:
            yield self._outcome(task)

    def close(self) -> None:
        self._function = None

    def _set_up(self) -> Callable[[Task], Any]:
        try:
            return self._setup()
        except Exception as error:
            message = describe_setup_error(error)
            raise WorkerSetupError(message, traceback.format_exc()) from error

    def _outcome(self, task: Task) -> Outcome:
        started = time.monotonic()
        try:
            result = self._function(task)
        except Exception as error:
            seconds, log = time.monotonic() - started, traceback.format_exc()
            failure, number = describe_error(error), errno_of(error)
            return Outcome(task, None, failure, 0, seconds, log, "raised", number)
        return Outcome(task, result, None, 0, time.monotonic() - started)
