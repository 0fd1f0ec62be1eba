"""Run tasks in worker processes, one task at a time each.

A crash, a hang or a kill for want of memory costs the task that it happens to, and nothing else:
the worker is replaced. So are workers that have run many tasks, against leaks. Results do not
depend on which worker ran what, unless the tasks themselves do.

The driver imports nothing that workers need; see `server` for how they start, and why they cannot
outlive it. Workers ignore SIGINT and SIGTERM (SIGKILL ends one), and write their output to files.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lemonade_tf.executors import pickling
from lemonade_tf.executors.base import Executor, Outcome, Setup, Task, TaskQueue
from lemonade_tf.executors.pool import Answer, Worker, WorkerPool

_Running = dict[Worker, tuple[Task, float]]  # a worker's task, and when it was handed out


class ProcessExecutor(Executor):
    """Runs tasks in processes that are forked from one that has imported what they need.

    Args:
        setup: Called once in each worker before its first task; returns the function that runs a
            task. Must be picklable, as tasks and results must be, and not from the main script.
        num_workers: How many processes. With GPUs, each has one, in turn.
        threads: Threads of each worker. With another number, results differ in the last digits.
        max_tasks_per_worker: After how many tasks a worker is replaced.
        task_timeout: After how many seconds a task is a failure, and its worker replaced; None
            for never.
        preload: Modules to import before any worker is forked. Their import must not run an
            operation of TensorFlow or JAX.
        log_dir: The folder for the output of the workers, a file each; None to keep no more than
            the last lines of a worker that dies, in `Outcome.log`.

    Raises:
        ValueError: If a number is out of range.
        pickle.PicklingError: If the setup cannot be sent to a worker.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        num_workers: int,
        threads: int = 1,
        max_tasks_per_worker: int = 300,
        task_timeout: float | None = None,
        preload: Sequence[str] = (),
        log_dir: str | Path | None = None,
    ):
        _check(num_workers=num_workers, threads=threads, max_tasks_per_worker=max_tasks_per_worker)
        self._pool = WorkerPool(
            pickling.dumps(setup),
            num_workers=num_workers,
            threads=threads,
            preload=preload,
            log_dir=None if log_dir is None else Path(log_dir),
        )
        self._max_tasks_per_worker = max_tasks_per_worker
        self._task_timeout = float("inf") if task_timeout is None else task_timeout
        self._is_running = self._is_closed = False

    def run(self, tasks: Iterable[Task], *, deadline: float | None = None) -> Iterator[Outcome]:
        self._check_free()
        self._is_running = True
        queue = TaskQueue(tasks, deadline)
        running: _Running = {}
        try:
            self._pool.hear(0.0)  # who died since the run before
            while not self._is_closed:
                self._hand_out(queue, running)
                if not running and not queue.num_left:
                    return
                self._pool.fill(queue.num_left)
                answers = self._pool.hear(self._patience(queue, running))
                outcomes = [self._settle(answer, running) for answer in answers]
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
            raise RuntimeError("The executor is closed; make a new one.")
        if self._is_running:
            raise RuntimeError(
                "The executor is running other tasks; exhaust that iterator first, or close it."
            )

    def _hand_out(self, queue: TaskQueue, running: _Running) -> None:
        """Give each idle worker a task."""
        # In this order, `zip` takes a task only when there is a worker for it.
        for worker, task in zip(self._pool.idle, queue, strict=False):
            message = pickling.dumps(task)
            running[worker] = task, time.monotonic()
            self._pool.give(worker, message)

    def _patience(self, queue: TaskQueue, running: _Running) -> float:
        """Return for how many seconds there is nothing to do but to listen."""
        if not running:
            return queue.seconds_left
        starts = [start for worker, (_, start) in running.items() if worker.state == "busy"]
        return max(0.0, min(starts, default=float("inf")) + self._task_timeout - time.monotonic())

    def _settle(self, answer: Answer, running: _Running) -> Outcome:
        """Make an answer an outcome, and let a worker go that has answered often enough."""
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

    def _stop_overdue(self, running: _Running) -> None:
        """Stop the workers whose task takes too long."""
        for worker, (_, start) in running.items():
            seconds = time.monotonic() - start
            if worker.state == "busy" and seconds >= self._task_timeout:
                self._pool.stop(worker, _too_long(seconds, self._task_timeout))


def _too_long(seconds: float, limit: float) -> str:
    """Say after how long a task was stopped, in the unit that suits the limit."""
    unit, size = ("hours", 3600) if limit >= 3600 else ("seconds", 1)
    return f"after {seconds / size:.1f} {unit}, as a task may take {limit / size:g} {unit} at most"


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} is {number!r}; expected a whole number from 1 up.")
