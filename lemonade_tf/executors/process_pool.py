"""The pool of worker processes: starting them, exchanging messages, and handling their deaths.

A worker's death shows twice: its connection closes, and the server reports its exit status. Only
the report counts, because it explains the death and comes after the worker's last message.
"""

from __future__ import annotations

import itertools
import os
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from lemonade_tf.executors import pickling
from lemonade_tf.executors.base import Cause, Task, WorkerSetupError, describe_error
from lemonade_tf.executors.devices import visible_gpus
from lemonade_tf.executors.environment import server_environment, worker_environment
from lemonade_tf.executors.launch import Server, ServerEnded
from lemonade_tf.executors.logs import WorkerLog
from lemonade_tf.executors.pool import Answer, Pool, PoolWorker

_MAX_DEATHS_IN_SETUP = 3
_LONGEST_WAIT = 24 * 3600.0  # seconds; the operating system cannot wait for more than 24 days


@dataclass(eq=False, kw_only=True)
class WorkerProcess(PoolWorker):
    """A worker process as seen by the driver. An ending worker is not polled."""

    server: Server
    serial: int
    connection: Connection
    log: WorkerLog
    has_task: bool = False
    task_start: float = 0.0
    num_answers: int = 0
    was_ready: bool = False
    stop_reason: str | None = None


class ProcessPool(Pool[WorkerProcess]):
    """Workers and the server from which they are forked.

    Args:
        setup: The pickled setup; see `ProcessExecutor`.
        num_workers: The largest number of workers at a time.
        threads: CPU threads per worker.
        gpus_per_worker: GPUs per worker, if there are any.
        max_tasks_per_worker: Number of tasks after which a worker is replaced.
        task_timeout: Seconds after which a task fails and its worker is replaced.
        preload: Modules to import before any worker is forked.
        log_dir: Folder for the output of the workers; None for unnamed files.
    """

    def __init__(
        self,
        setup: bytes,
        *,
        num_workers: int,
        threads: int,
        gpus_per_worker: int,
        max_tasks_per_worker: int,
        task_timeout: float,
        preload: Sequence[str],
        log_dir: Path | None,
    ):
        super().__init__()
        self._setup = setup
        self._num_workers = num_workers
        self._threads = threads
        self._gpus_per_worker = gpus_per_worker
        self._max_tasks_per_worker = max_tasks_per_worker
        self._task_timeout = task_timeout
        self._preload = tuple(preload)
        self._log_dir = log_dir
        self._gpus = visible_gpus()
        self._server: Server | None = None
        self._serials = itertools.count()
        self._num_deaths_in_setup = 0

    @property
    def num_workers(self) -> int:
        return self._num_workers

    def resume(self) -> None:
        self.poll(0.0)

    def send(self, worker: WorkerProcess, task: Task) -> None:
        message = pickling.dumps(task)
        worker.state, worker.has_task, worker.task_start = "busy", True, time.monotonic()
        self._send(worker, message)

    def poll(self, timeout: float) -> list[Answer[WorkerProcess]]:
        server = self._server
        if server is None:
            return []
        workers = [worker for worker in self._workers.values() if worker.state != "ending"]
        connections = [server.control, *(worker.connection for worker in workers)]
        ready = wait(connections, min(timeout, self._seconds_to_timeout(), _LONGEST_WAIT))
        answers = []
        for worker in workers:
            if worker.connection in ready:
                answers += self._receive(worker)
        if server.control in ready:
            answers += self._receive_from_server(server)
        self._stop_overdue()
        return answers

    def _seconds_to_timeout(self) -> float:
        """Return the seconds until the first task exceeds the time limit."""
        starts = [w.task_start for w in self._workers.values() if w.state == "busy"]
        return max(0.0, min(starts, default=float("inf")) + self._task_timeout - time.monotonic())

    def _stop_overdue(self) -> None:
        """Stop the workers whose task exceeded the time limit."""
        for worker in self._workers.values():
            seconds = time.monotonic() - worker.task_start
            if worker.state == "busy" and seconds >= self._task_timeout:
                self._stop(worker, _timeout_message(seconds, self._task_timeout))

    def discard(self, worker: WorkerProcess) -> None:
        if worker.serial in self._workers:
            worker.has_task = False
            self._stop(worker)

    def close(self) -> None:
        """Kill all workers and wait until they have exited."""
        for worker in self._workers.values():
            worker.connection.close()
            worker.log.close()
        self._workers.clear()
        if self._server is not None:
            server, self._server = self._server, None
            server.close()

    def _stop(self, worker: WorkerProcess, reason: str | None = None) -> None:
        """Kill a worker. If it has a task, the answer is a failure for the given reason."""
        worker.stop_reason = reason
        self._retire(worker)
        worker.server.kill(worker.serial)

    def _retire(self, worker: WorkerProcess) -> None:
        """Disconnect from a worker, which then exits unless it is busy."""
        worker.state = "ending"
        worker.connection.close()

    def _start_worker(self, slot: int) -> None:
        """Start a worker in a slot, and the server if it is not running."""
        if self._server is None:
            share_gpus = 0 < len(self._gpus) < self._num_workers * self._gpus_per_worker
            environment = server_environment(
                os.environ, threads=self._threads, share_gpus=share_gpus
            )
            self._server = Server(self._preload, environment)
        path = None if self._log_dir is None else self._log_dir / f"worker-{slot}.log"
        serial, log = next(self._serials), WorkerLog(path)
        environment = worker_environment(
            slot,
            self._gpus,
            num_workers=self._num_workers,
            gpus_per_worker=self._gpus_per_worker,
        )
        connection = self._server.start_worker(serial, environment, log)
        worker = self._workers[serial] = WorkerProcess(
            server=self._server, serial=serial, slot=slot, connection=connection, log=log
        )
        self._send(worker, self._setup)

    def _send(self, worker: WorkerProcess, message: bytes) -> None:
        try:
            worker.connection.send_bytes(message)
        except OSError:
            self._retire(worker)  # it died; the server will report how

    def _receive(self, worker: WorkerProcess) -> list[Answer[WorkerProcess]]:
        """Receive a message of a worker, and return the answer if it is one."""
        try:
            message = worker.connection.recv_bytes()
        except (EOFError, OSError):
            self._stop(worker)  # it died or is about to; the server will report how
            return []
        kind, *values = _loads(message)
        if kind == "setup_failed":
            worker.was_ready = True  # its exit is not a death in setup
            self._retire(worker)
            raise WorkerSetupError(*values)
        worker.state = "idle"
        if kind == "ready":
            worker.was_ready, self._num_deaths_in_setup = True, 0
            return []
        worker.has_task = False
        worker.num_answers += 1
        if worker.num_answers >= self._max_tasks_per_worker:
            self._retire(worker)
        if kind == "done":
            return [Answer(worker, result=values[0])]
        failure, log, number = values
        return [Answer(worker, failure=failure, log=log, cause="raised", errno=number)]

    def _receive_from_server(self, server: Server) -> list[Answer[WorkerProcess]]:
        """Receive a message of the server: a worker died, or an import failed."""
        try:
            kind, *values = server.receive()
        except ServerEnded as error:
            return self._reap_all(str(error), server.tail())
        if kind == "import_failed":
            self.close()
            raise WorkerSetupError(*values)
        return self._reap(*values) if kind == "died" else []

    def _reap(self, serial: int, how: str) -> list[Answer[WorkerProcess]]:
        """Remove a dead worker, and return its last answers."""
        worker = self._workers[serial]
        answers = []
        while worker.state != "ending" and worker.connection.poll():
            answers += self._receive(worker)
        del self._workers[serial]
        worker.connection.close()
        log = worker.log.tail()
        worker.log.close()
        if worker.has_task:
            reason: str = how
            cause: Cause = "died"
            if worker.stop_reason:
                reason, cause = f"was stopped {worker.stop_reason}", "timed_out"
            failure = f"worker {worker.slot} {reason}"
            answers.append(Answer(worker, failure=failure, log=log, cause=cause))
        if not worker.was_ready:
            self._count_death_in_setup(f"a worker {how}", log)
        return answers

    def _reap_all(self, how: str, log: str) -> list[Answer[WorkerProcess]]:
        """Remove all workers, which died with the server."""
        failure = f"the worker server {how}"
        workers = list(self._workers.values())
        self.close()
        if not any(worker.was_ready for worker in workers):
            self._count_death_in_setup(failure, log)
        lost = [worker for worker in workers if worker.has_task]
        return [Answer(worker, failure=failure, log=log, cause="died") for worker in lost]

    def _count_death_in_setup(self, how: str, log: str) -> None:
        """Give up if workers repeatedly die before they are ready."""
        self._num_deaths_in_setup += 1
        if self._num_deaths_in_setup >= _MAX_DEATHS_IN_SETUP:
            self._num_deaths_in_setup = 0
            raise WorkerSetupError(
                f"workers failed to start: {_MAX_DEATHS_IN_SETUP} times in a row {how}. If memory"
                " is short, use fewer workers; otherwise see the log of the worker.",
                log,
            )


def _loads(message: bytes) -> tuple[Any, ...]:
    """Unpickle a worker's message; a result that cannot be unpickled is a failure."""
    try:
        return pickle.loads(message)
    except Exception as error:
        return "failed", f"the result cannot be unpickled: {describe_error(error)}", "", None


def _timeout_message(seconds: float, limit: float) -> str:
    """Describe a timeout, in the unit that suits the limit."""
    unit, size = ("hours", 3600) if limit >= 3600 else ("seconds", 1)
    return f"after {seconds / size:.1f} {unit}; the time limit is {limit / size:g} {unit}"
