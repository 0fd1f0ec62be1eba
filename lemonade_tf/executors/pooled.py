"""Run tasks in the workers of a pool: give each idle worker a task, and collect the answers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from lemonade_tf.executors.base import Executor, Outcome, Task, TaskQueue
from lemonade_tf.executors.pool import Answer, Pool, PoolWorker

W = TypeVar("W", bound=PoolWorker)
_Running = dict[W, tuple[Task, float]]  # the task of a worker and its start time


class PooledExecutor(Executor, Generic[W]):
    """Runs tasks in the workers of a pool.

    Args:
        pool: The workers; closed with the executor.
    """

    def __init__(self, pool: Pool[W]) -> None:
        self._pool = pool
        self._is_running = self._is_closed = False

    @property
    def num_workers(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] (read only)
        """The largest number of tasks that run at a time."""
        return self._pool.num_workers

    def run(self, tasks: Iterable[Task], *, deadline: float | None = None) -> Iterator[Outcome]:
        self._check_free()
        self._is_running = True
        queue = TaskQueue(tasks, deadline)
        running: _Running[W] = {}
        try:
            self._pool.resume()
            while not self._is_closed:
                self._assign(queue, running)
                until_abort = self.abort_at - time.monotonic()
                if (not running and not queue.num_left) or until_abort <= 0:
                    return
                self._pool.start_workers(queue.num_left)
                answers = self._pool.poll(until_abort if running else queue.seconds_left)
                yield from [_outcome(answer, *running.pop(answer.worker)) for answer in answers]
        finally:
            self._is_running = False
            for worker in running:
                self._pool.discard(worker)

    def close(self) -> None:
        self._is_closed = True
        self._pool.close()

    def _check_free(self) -> None:
        if self._is_closed:
            raise RuntimeError("the executor is closed; create a new one.")
        if self._is_running:
            raise RuntimeError(
                "the executor is running other tasks; exhaust or close that iterator first."
            )

    def _assign(self, queue: TaskQueue, running: _Running[W]) -> None:
        """Send a task to each idle worker."""
        # `zip` takes a task only if there is a worker, because the workers come first.
        for worker, task in zip(self._pool.idle, queue, strict=False):
            start = time.monotonic()
            self._pool.send(worker, task)
            running[worker] = task, start


def _outcome(answer: Answer, task: Task, start: float) -> Outcome:
    """Return the outcome of a task that was sent to a worker."""
    return Outcome(
        task,
        answer.result,
        answer.failure,
        answer.worker.slot,
        time.monotonic() - start,
        answer.log,
        answer.cause,
        answer.errno,
    )


def check_counts(**numbers: int) -> None:
    """Check numbers that must be integers of at least 1.

    Raises:
        ValueError: If one is not; the message starts with its name.
    """
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} is {number!r}; expected an integer of at least 1.")
