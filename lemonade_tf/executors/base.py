"""The interface of executors: an iterable of tasks in, an iterator of outcomes out.

A task that fails is an outcome like any other. A setup that fails is an exception, because it would
fail every task.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Any, Final, Literal, Self

from lemonade_tf.errors import LemonadeError

Task = Any
Function = Callable[[Task], Any]
Setup = Callable[[], Function]

# Instead of a task: there is none until the next outcome. Only while a task is running.
WAIT: Final = object()

# Why a task failed: it raised an exception, its process died, or it exceeded the time limit.
Cause = Literal["raised", "died", "timed_out"]

_LONGEST_LINE = 500


class WorkerSetupError(LemonadeError):
    """Workers failed to start, so no task can run.

    Args:
        message: What happened.
        log: The worker's traceback or the last lines of its output; may be empty.
    """

    def __init__(self, message: str, log: str = ""):
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Outcome:
    """The result or the failure of a task.

    Attributes:
        task: The task, the same object that the caller passed.
        result: The return value of the function; None on failure.
        failure: What went wrong, in one line; None on success.
        worker: The number of the worker, from 0.
        seconds: Wall time from sending the task to receiving the result.
        log: On failure, the traceback or the last lines of a dead worker's output; may be empty.
        cause: Why the task failed; None on success.
        errno: The error number if the task raised an OSError; else None.
    """

    task: Task
    result: Any
    failure: str | None
    worker: int
    seconds: float
    log: str = ""
    cause: Cause | None = None
    errno: int | None = None


class Executor(ABC):
    """Runs tasks. As a context manager, it stops running tasks immediately on exit.

    A subclass implements `run` and `close`.

    Attributes:
        num_workers: Number of tasks that run at a time.
        abort_at: Time after which running tasks are aborted and have no outcome, as a value of
            `time.monotonic`; never by default. Executors that cannot abort a task ignore it.
    """

    num_workers: int = 1
    abort_at: float = inf

    @property
    def num_turns(self) -> int:
        """Number of tasks that train at a time: fewer than `num_workers` if they share GPUs."""
        return self.num_workers

    @abstractmethod
    def run(self, tasks: Iterable[Task], *, deadline: float | None = None) -> Iterator[Outcome]:
        """Run tasks and yield their outcomes in the order of completion.

        Tasks are taken from the iterable lazily and in order, one per free worker, and only after
        all outcomes so far have been yielded: an iterable may build its next task from them. If
        it cannot yet, it yields `WAIT` instead, and is asked again after the next outcome.
        Workers may be idle while the caller handles an outcome. Closing the iterator early aborts
        the running tasks.

        Args:
            tasks: The tasks.
            deadline: Time after which no task is started, as a value of `time.monotonic`. Running
                tasks are completed; tasks that did not start have no outcome.

        Raises:
            WorkerSetupError: If workers failed to start.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop all running tasks immediately. Closing again has no effect."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class TaskQueue(Iterator[Task]):
    """An iterator over the tasks of one run that ends at the deadline.

    Unlike other iterators, it may have more tasks after it ended: if `num_left` is not 0, the
    iterable said `WAIT`.

    Args:
        tasks: The tasks.
        deadline: Time after which there is no next task, as a value of `time.monotonic`.
    """

    def __init__(self, tasks: Iterable[Task], deadline: float | None):
        self._num_left = float(len(tasks)) if isinstance(tasks, Sized) else float("inf")
        self._tasks = iter(tasks)
        self._deadline = float("inf") if deadline is None else deadline

    @property
    def num_left(self) -> float:
        """The number of tasks left; infinity if it is unknown."""
        return self._num_left if self.seconds_left > 0 else 0

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline; infinity if there is none."""
        return max(0.0, self._deadline - time.monotonic())

    def __next__(self) -> Task:
        if not self.num_left:
            raise StopIteration
        try:
            task = next(self._tasks)
        except StopIteration:
            self._num_left = 0
            raise
        if task is WAIT:
            raise StopIteration
        self._num_left -= 1
        return task


def describe_error(error: BaseException) -> str:
    """Return the type and the message of an exception in one line."""
    words = " ".join(str(error).split())
    line = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def errno_of(error: BaseException) -> int | None:
    """Return the error number of an OSError, None for other exceptions."""
    return error.errno if isinstance(error, OSError) else None


def describe_setup_error(error: Exception) -> str:
    """Return the message of a failed setup in one line, with the type if it may be a bug."""
    line = describe_error(error)
    for_users = isinstance(error, LemonadeError | ValueError | OSError | RuntimeError)
    return line.removeprefix(f"{type(error).__name__}: ") if for_users else line
