"""What every executor does: a stream of tasks in, a stream of outcomes out.

A task that fails is an outcome like any other. What would fail every task, a setup that raises,
is an exception.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from lemonade_tf.errors import LemonadeError

Task = Any
Setup = Callable[[], Callable[[Task], Any]]

# Why a task failed: it raised an exception; its process died; it took longer than it may.
Cause = Literal["raised", "died", "overdue"]

_LONGEST_LINE = 500


class WorkerSetupError(LemonadeError):
    """A worker cannot be made ready, so that no task can be run.

    Attributes:
        log: The worker's traceback, or the last lines that it wrote; may be empty.
    """

    def __init__(self, message: str, log: str = ""):
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Args:
        task: The task, the very object that was handed in.
        result: What the function returned; None on failure.
        failure: One line that says what went wrong; None on success.
        worker: The number of the worker, from 0.
        seconds: From handing out the task to getting the result.
        log: On failure, the traceback, or the last lines that a dead worker wrote; may be empty.
        cause: Why it failed; None on success.
        errno: Of an OSError that it raised; else None.
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
    """Runs tasks. A context manager: leaving it stops what still runs, at once."""

    @abstractmethod
    def run(self, tasks: Iterable[Task], *, deadline: float | None = None) -> Iterator[Outcome]:
        """Run tasks, and yield their outcomes as they are completed.

        The tasks are taken from the iterable one at a time, in order, each when there is a worker
        for it and the outcomes so far were yielded, so that an iterable may make its next task
        from them. What the caller does between two outcomes is time that workers may be idle. If
        the iterator is closed before its end, the tasks that still run are aborted.

        Args:
            tasks: The tasks.
            deadline: When to stop handing out tasks, as a value of `time.monotonic`. Tasks that
                are running are completed; those that are left have no outcome.

        Raises:
            WorkerSetupError: If a worker cannot be made ready.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop at once whatever still runs. May be called again."""

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
    """The tasks of one run that are still to be handed out; ends at the deadline.

    Args:
        tasks: The tasks.
        deadline: When to stop handing them out, as a value of `time.monotonic`.
    """

    def __init__(self, tasks: Iterable[Task], deadline: float | None):
        self._num_left = float(len(tasks)) if isinstance(tasks, Sized) else float("inf")
        self._tasks = iter(tasks)
        self._deadline = float("inf") if deadline is None else deadline

    @property
    def num_left(self) -> float:
        """How many tasks are still to be handed out; infinity if that is not known."""
        return self._num_left if self.seconds_left > 0 else 0

    @property
    def seconds_left(self) -> float:
        """How long tasks may still be handed out; infinity if there is no deadline."""
        return max(0.0, self._deadline - time.monotonic())

    def __next__(self) -> Task:
        if not self.num_left:
            raise StopIteration
        try:
            task = next(self._tasks)
        except StopIteration:
            self._num_left = 0
            raise
        self._num_left -= 1
        return task


def describe_error(error: BaseException) -> str:
    """Say in one line what an exception says, its type first."""
    words = " ".join(str(error).split())
    line = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def errno_of(error: BaseException) -> int | None:
    """Return the error number of the operating system that an exception carries, if it does."""
    return error.errno if isinstance(error, OSError) else None


def describe_setup_error(error: Exception) -> str:
    """Say in one line why a setup failed; errors that are messages to the user have no type."""
    line = describe_error(error)
    own_words = isinstance(error, ValueError | OSError | RuntimeError) and str(error).strip()
    return line.removeprefix(f"{type(error).__name__}: ") if own_words else line
