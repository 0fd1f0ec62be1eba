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
        max_tasks_per_worker: Number of tasks after which a worker is replaced.
        task_timeout: Seconds after which a task fails and its worker is replaced; None for no
            limit.
    """

    def __init__(
        self, pool: Pool[W], *, max_tasks_per_worker: float, task_timeout: float | None
    ) -> None:
        self._pool = pool
        self._max_tasks_per_worker = max_tasks_per_worker
        self._task_timeout = float("inf") if task_timeout is None else task_timeout
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
            self._pool.poll(0.0)  # notice workers that died since the previous run
            while not self._is_closed:
                self._assign(queue, running)
                if not running and not queue.num_left:
                    return
                self._pool.start_workers(queue.num_left)
                answers = self._pool.poll(self._timeout(queue, running))
                outcomes = [self._outcome(answer, running) for answer in answers]
                self._stop_overdue(running)
                yield from outcomes
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

    def _timeout(self, queue: TaskQueue, running: _Running[W]) -> float:
        """Return the seconds to wait for messages: until a task times out, or the deadline."""
        if not running:
            return queue.seconds_left
        starts = [start for worker, (_, start) in running.items() if worker.state == "busy"]
        return max(0.0, min(starts, default=float("inf")) + self._task_timeout - time.monotonic())

    def _outcome(self, answer: Answer[W], running: _Running[W]) -> Outcome:
        """Convert an answer to an outcome, and retire a worker that has run enough tasks."""
        worker = answer.worker
        task, start = running.pop(worker)
        if worker.state == "idle" and worker.num_answers >= self._max_tasks_per_worker:
            self._pool.retire(worker)
        seconds = time.monotonic() - start
        return Outcome(
            task,
            answer.result,
            answer.failure,
            worker.slot,
            seconds,
            answer.log,
            answer.cause,
            answer.errno,
        )

    def _stop_overdue(self, running: _Running[W]) -> None:
        """Stop the workers whose task exceeded the time limit."""
        for worker, (_, start) in running.items():
            seconds = time.monotonic() - start
            if worker.state == "busy" and seconds >= self._task_timeout:
                self._pool.stop(worker, _timeout_message(seconds, self._task_timeout))


def _timeout_message(seconds: float, limit: float) -> str:
    """Describe a timeout, in the unit that suits the limit."""
    unit, size = ("hours", 3600) if limit >= 3600 else ("seconds", 1)
    return f"after {seconds / size:.1f} {unit}; the time limit is {limit / size:g} {unit}"


def check_counts(**numbers: int) -> None:
    """Check numbers that must be integers of at least 1.

    Raises:
        ValueError: If one is not; the message starts with its name.
    """
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} is {number!r}; expected an integer of at least 1.")
