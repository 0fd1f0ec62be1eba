"""Run tasks sequentially in this process, for debugging and on systems without fork.

A task that crashes or leaks memory takes the driver with it, and a running task cannot be aborted.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Iterator

from lemonade_tf.executors.base import (
    Executor,
    Function,
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
        setup: Called once before the first task; returns the function that runs a task.
    """

    def __init__(self, setup: Setup):
        self._setup = setup
        self._function: Function | None = None

    def run(self, tasks: Iterable[Task], *, deadline: float | None = None) -> Iterator[Outcome]:
        for task in TaskQueue(tasks, deadline):
            if self._function is None:
                self._function = self._set_up()
            yield _run(self._function, task)

    def close(self) -> None:
        self._function = None

    def _set_up(self) -> Function:
        try:
            return self._setup()
        except Exception as error:
            message = describe_setup_error(error)
            raise WorkerSetupError(message, traceback.format_exc()) from error


def _run(function: Function, task: Task) -> Outcome:
    started = time.monotonic()
    try:
        result = function(task)
    except Exception as error:
        seconds, log = time.monotonic() - started, traceback.format_exc()
        failure, number = describe_error(error), errno_of(error)
        return Outcome(task, None, failure, 0, seconds, log, "raised", number)
    return Outcome(task, result, None, 0, time.monotonic() - started)
