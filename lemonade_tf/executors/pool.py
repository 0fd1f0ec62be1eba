"""The worker processes that live: their start, what they answer, and their death.

Every message that is given to a worker has one `Answer`, even if the worker dies over it.
"""

from __future__ import annotations

import itertools
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

from lemonade_tf.executors.base import Cause, WorkerSetupError, describe_error
from lemonade_tf.executors.devices import visible_gpus
from lemonade_tf.executors.environment import server_environment, worker_environment
from lemonade_tf.executors.launch import Server, ServerEnded
from lemonade_tf.executors.logs import WorkerLog

_MOST_DEATHS_IN_SETUP = 3
_LONGEST_WAIT = 24 * 3600.0  # seconds; the system cannot wait for more than 24 days


@dataclass(eq=False)
class Worker:
    """A worker as the driver sees it. One that is ending is given nothing, and not listened to."""

    serial: int
    slot: int
    connection: Connection
    log: WorkerLog
    state: Literal["starting", "idle", "busy", "ending"] = "starting"
    num_answers: int = 0
    owes_answer: bool = False
    was_ready: bool = False
    stopped_because: str | None = None


@dataclass(frozen=True)
class Answer:
    """What became of a message that a worker was given: a result, or a failure; see `Outcome`."""

    worker: Worker
    result: Any = None
    failure: str | None = None
    log: str = ""
    cause: Cause | None = None
    errno: int | None = None


class WorkerPool:
    """Workers, and the server that they are forked from.

    Args:
        setup: Pickled; see `Executor`.
        num_workers: How many there may be at a time.
        threads: Threads of each.
        preload: Modules to import before any is forked.
        log_dir: Where their output goes; None for files without a name.
    """

    def __init__(
        self,
        setup: bytes,
        *,
        num_workers: int,
        threads: int,
        preload: Sequence[str],
        log_dir: Path | None,
    ):
        self._setup = setup
        self._num_workers = num_workers
        self._threads = threads
        self._preload = tuple(preload)
        self._log_dir = log_dir
        self._gpus = visible_gpus()
        self._server: Server | None = None
        self._workers: dict[int, Worker] = {}  # by serial
        self._serials = itertools.count()
        self._num_deaths_in_setup = 0

    @property
    def idle(self) -> list[Worker]:
        """The workers that have nothing to do, by their number."""
        idle = [worker for worker in self._workers.values() if worker.state == "idle"]
        return sorted(idle, key=lambda worker: worker.slot)

    def fill(self, num_wanted: float) -> None:
        """Start workers until so many are free, or there is no place left."""
        num_free = sum(w.state in ("starting", "idle") for w in self._workers.values())
        places = set(range(self._num_workers)) - {w.slot for w in self._workers.values()}
        for slot in sorted(places):
            if num_free >= num_wanted:
                return
            self._start(slot)
            num_free += 1

    def give(self, worker: Worker, message: bytes) -> None:
        """Give an idle worker something to do."""
        worker.state, worker.owes_answer = "busy", True
        self._send(worker, message)

    def hear(self, patience: float) -> list[Answer]:
        """Listen to the workers, and return their answers.

        Args:
            patience: How many seconds to wait for the first; after a day there may be none.

        Raises:
            WorkerSetupError: If a worker cannot be made ready.
        """
        if self._server is None:
            return []
        speakers = {w.connection: w for w in self._workers.values() if w.state != "ending"}
        ready = wait([*speakers, self._server.control], min(patience, _LONGEST_WAIT))
        answers = []
        for connection in ready:
            if connection in speakers:
                answers += self._hear_worker(speakers[connection])
        if self._server.control in ready:
            answers += self._hear_server()
        return answers

    def stop(self, worker: Worker, because: str | None = None) -> None:
        """End a worker at once; the answer that it owes will be a failure for the reason given."""
        worker.stopped_because = because
        self.retire(worker)
        self._server.kill(worker.serial)

    def discard(self, worker: Worker) -> None:
        """End a worker at once, and forget the answer that it owes."""
        if worker.serial in self._workers:
            worker.owes_answer = False
            self.stop(worker)

    def retire(self, worker: Worker) -> None:
        """Hang up, upon which a worker that has nothing to do ends."""
        worker.state = "ending"
        worker.connection.close()

    def close(self) -> None:
        """End all workers, and return when they have ended."""
        for worker in self._workers.values():
            worker.connection.close()
            worker.log.close()
        self._workers.clear()
        if self._server is not None:
            server, self._server = self._server, None
            server.close()

    def _start(self, slot: int) -> None:
        """Start a worker at a place, and the server if it does not run."""
        if self._server is None:
            share_gpus = 0 < len(self._gpus) < self._num_workers
            environment = server_environment(
                os.environ, threads=self._threads, share_gpus=share_gpus
            )
            self._server = Server(self._preload, environment)
        path = None if self._log_dir is None else self._log_dir / f"worker-{slot}.log"
        serial, log = next(self._serials), WorkerLog(path)
        environment = worker_environment(slot, self._gpus)
        connection = self._server.start_worker(serial, environment, log)
        worker = self._workers[serial] = Worker(serial, slot, connection, log)
        self._send(worker, self._setup)

    def _send(self, worker: Worker, message: bytes) -> None:
        try:
            worker.connection.send_bytes(message)
        except OSError:
            self.retire(worker)  # it died; the server will say how

    def _hear_worker(self, worker: Worker) -> list[Answer]:
        """Take a worker's message."""
        try:
            message = worker.connection.recv_bytes()
        except (EOFError, OSError):
            self.stop(worker)  # it died, or is about to; the server will say how
            return []
        kind, *values = _loads(message)
        if kind == "setup_failed":
            worker.was_ready = True  # this is no death
            self.retire(worker)
            raise WorkerSetupError(*values)
        worker.state = "idle"
        if kind == "ready":
            worker.was_ready, self._num_deaths_in_setup = True, 0
            return []
        worker.owes_answer = False
        worker.num_answers += 1
        if kind == "done":
            return [Answer(worker, result=values[0])]
        failure, log, number = values
        return [Answer(worker, failure=failure, log=log, cause="raised", errno=number)]

    def _hear_server(self) -> list[Answer]:
        """Take the server's message: that a worker died, or that it cannot start any."""
        try:
            kind, *values = self._server.receive()
        except ServerEnded as error:
            return self._bury_all(str(error))
        if kind == "import_failed":
            self.close()
            raise WorkerSetupError(*values)
        return self._bury(*values) if kind == "died" else []

    def _bury(self, serial: int, how: str) -> list[Answer]:
        """Strike off a worker that died; what it still said counts."""
        worker = self._workers[serial]
        answers = []
        while worker.state != "ending" and worker.connection.poll():
            answers += self._hear_worker(worker)
        del self._workers[serial]
        worker.connection.close()
        log = worker.log.tail()
        worker.log.close()
        if worker.owes_answer:
            reason, cause = how, "died"
            if worker.stopped_because:
                reason, cause = f"was stopped {worker.stopped_because}", "overdue"
            failure = f"worker {worker.slot} {reason}"
            answers.append(Answer(worker, failure=failure, log=log, cause=cause))
        if not worker.was_ready:
            self._count_death_in_setup(f"a worker {how}", log)
        return answers

    def _bury_all(self, how: str) -> list[Answer]:
        """Strike off all workers, as the server ended, and they with it."""
        failure, log = f"the server of the workers {how}", self._server.tail()
        workers = list(self._workers.values())
        self.close()
        if not any(worker.was_ready for worker in workers):
            self._count_death_in_setup(failure, log)
        owing = [worker for worker in workers if worker.owes_answer]
        return [Answer(worker, failure=failure, log=log, cause="died") for worker in owing]

    def _count_death_in_setup(self, how: str, log: str) -> None:
        """Give up when workers die before they are ready, time and again."""
        self._num_deaths_in_setup += 1
        if self._num_deaths_in_setup >= _MOST_DEATHS_IN_SETUP:
            self._num_deaths_in_setup = 0
            raise WorkerSetupError(
                f"No worker gets ready: {_MOST_DEATHS_IN_SETUP} times in a row {how}. Try with "
                "fewer workers if memory is short; else see what the worker wrote, in its log.",
                log,
            )


def _loads(message: bytes) -> tuple:
    """Unpickle a worker's message; a result that cannot be unpickled is a failure."""
    try:
        return pickle.loads(message)
    except Exception as error:
        return "failed", f"the result cannot be unpickled: {describe_error(error)}", "", None
