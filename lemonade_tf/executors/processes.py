"""Run tasks in worker processes.

A crash, a hang or an out-of-memory kill fails only the task at hand, and the worker is replaced.
Workers that have run many tasks are replaced too, to limit memory leaks. Results do not
depend on which worker runs a task, unless the task itself does.

The driver imports none of the modules that workers need. `server` explains how workers start, and
why they cannot outlive the driver. They ignore SIGINT and SIGTERM, and write their output to files.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lemonade_tf.executors import pickling
from lemonade_tf.executors.base import Executor, Outcome, Setup, Task, TaskQueue
from lemonade_tf.executors.pool import Answer, Worker, WorkerPool

_Running = dict[Worker, tuple[Task, float]]  # the task of a worker and its start time


class ProcessExecutor(Executor):
    """Runs tasks in worker processes, which are forked from a server with imported modules.

    Args:
        setup: Called once per worker before its first task; returns the function that runs a task.
            The setup, tasks and results must be picklable, and not from the main script.
        num_workers: Number of workers. GPUs are assigned to them round-robin.
        threads: CPU threads per worker. Results depend on it in the last digits.
        max_tasks_per_worker: Number of tasks after which a worker is replaced.
        task_timeout: Seconds after which a task fails and its worker is replaced; None for no
            limit.
        preload: Modules to import before any worker is forked. Importing them must not run an
            operation of TensorFlow or JAX.
        log_dir: Folder for the output of the workers, one file each; with None, only the last
            lines of a dead worker are kept, in `Outcome.log`.

    Raises:
        ValueError: If a number is out of range.
        pickle.PicklingError: If the setup cannot be pickled for a worker.
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
        self.num_workers = num_workers
        self._max_tasks_per_worker = max_tasks_per_worker
        self._task_timeout = float("inf") if task_timeout is None else task_timeout
        self._is_running = self._is_closed = False

    def run(self, tasks: Iterable[Task], *, deadline: float | None = None) -> Iterator[Outcome]:
        self._check_free()
        self._is_running = True
        queue = TaskQueue(tasks, deadline)
        running: _Running = {}
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

    def _assign(self, queue: TaskQueue, running: _Running) -> None:
        """Send a task to each idle worker."""
        # `zip` takes a task only if there is a worker, because the workers come first.
        for worker, task in zip(self._pool.idle, queue, strict=False):
            message = pickling.dumps(task)
            running[worker] = task, time.monotonic()
            self._pool.send(worker, message)

    def _timeout(self, queue: TaskQueue, running: _Running) -> float:
        """Return the seconds to wait for messages: until a task times out, or the deadline."""
        if not running:
            return queue.seconds_left
        starts = [start for worker, (_, start) in running.items() if worker.state == "busy"]
        return max(0.0, min(starts, default=float("inf")) + self._task_timeout - time.monotonic())

    def _outcome(self, answer: Answer, running: _Running) -> Outcome:
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

    def _stop_overdue(self, running: _Running) -> None:
        """Stop the workers whose task exceeded the time limit."""
        for worker, (_, start) in running.items():
            seconds = time.monotonic() - start
            if worker.state == "busy" and seconds >= self._task_timeout:
                self._pool.stop(worker, _timeout_message(seconds, self._task_timeout))


def _timeout_message(seconds: float, limit: float) -> str:
    """Describe a timeout, in the unit that suits the limit."""
    unit, size = ("hours", 3600) if limit >= 3600 else ("seconds", 1)
    return f"after {seconds / size:.1f} {unit}; the time limit is {limit / size:g} {unit}"


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} is {number!r}; expected an integer of at least 1.")
