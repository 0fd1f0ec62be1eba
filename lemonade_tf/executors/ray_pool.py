"""The pool of workers on a Ray cluster.

Each worker is an actor (`NodeWorker`), which Ray places on a node with free resources. Files travel
through Ray's object store. Ray reports a worker as lost if its node is, and ends the actors of a
driver that ends for any reason.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from lemonade_tf import __version__
from lemonade_tf.executors import pickling
from lemonade_tf.executors.base import Task, WorkerSetupError, describe_error
from lemonade_tf.executors.logs import WorkerLog
from lemonade_tf.executors.node_worker import Contents, NodeConfig, NodeWorker, Reply
from lemonade_tf.executors.pool import Answer, Pool, PoolWorker
from lemonade_tf.executors.ray_objects import ObjectFiles
from lemonade_tf.executors.task_files import TaskFiles, files_of
from lemonade_tf.store.atomic import write_atomic

_TICK = 1.0  # longest time in seconds without looking at the cluster
_UPDATE_SECONDS = 5.0  # between two looks at the files that a task updates
_LEAVE_SECONDS = 2.0  # for workers to remove their files at the end
_LONG = 30.0  # seconds after which a worker that is not placed is reported
_MAX_LOSSES_IN_SETUP = 3

_logger = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class RayWorker(PoolWorker):
    """A worker on a node as seen by the driver.

    Attributes:
        serial: Its number.
        actor: The handle of the actor.
        created: When it was requested.
        call: The call in progress, if any.
        receive: Handles the value of that call, and returns the answer to a task if it is one.
        node: The name of its node; empty until it is placed.
        was_ready: Whether it was ready for tasks.
        files: The files of its task.
        update: The call in progress for the files that its task updates, if any.
        updated: When these were last asked for.
    """

    serial: int
    actor: Any
    created: float = field(default_factory=time.monotonic)
    call: ray.ObjectRef | None = None
    receive: Callable[[RayWorker, Any], Answer[RayWorker] | None] | None = None
    node: str = ""
    was_ready: bool = False
    files: TaskFiles = field(default_factory=TaskFiles)
    update: ray.ObjectRef | None = None
    updated: float = 0.0


class RayPool(Pool[RayWorker]):
    """Workers on the cluster that this process is connected to.

    Args:
        config: How they work.
        num_workers: The largest number of workers at a time; None for as many as the resources of
            the cluster allow.
        max_num_workers: The largest number of workers that is of use; None for any.
        setup_files: The files that the setup names.
        log_dir: Folder for the output of the workers; None to discard it.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        num_workers: int | None,
        max_num_workers: int | None,
        setup_files: TaskFiles,
        log_dir: Path | None,
    ) -> None:
        super().__init__()
        self._config = config
        self._num_workers, self._max_num_workers = num_workers, max_num_workers
        self._log_dir = log_dir
        self._files = ObjectFiles()
        self._setup_objects = {path: self._files.put(path) for path in setup_files.read}
        self._config_object = ray.put(config)  # once, as a setup may be large
        self._actors = ray.remote(NodeWorker).options(
            num_cpus=config.threads, num_gpus=config.gpus, max_concurrency=2
        )
        self._serials = itertools.count()
        self._num_losses_in_setup = self._num_refused = 0
        self._last_capacity, self._counted = 1, -math.inf
        self._has_reported = False

    @property
    def num_workers(self) -> int:
        number = self._capacity() if self._num_workers is None else self._num_workers
        return max(1, min(number, self._max_num_workers or number) - self._num_refused)

    def _capacity(self) -> int:
        """Return the number of workers that the resources of the cluster allow, at least 1."""
        now = time.monotonic()
        if now - self._counted > _TICK:
            config, self._counted = self._config, now
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            number = sum(num_that_fit(node, config.threads, config.gpus) for node in nodes)
            self._last_capacity = max(1, number)  # a cluster may start nodes on request
        return self._last_capacity

    def resume(self) -> None:
        for worker in self.idle:
            worker.state = "starting"
            self._call(worker, worker.actor.describe.remote(), self._receive_alive)

    def _start_worker(self, slot: int) -> None:
        serial = next(self._serials)
        worker = RayWorker(slot=slot, serial=serial, actor=self._actors.remote(self._config_object))
        self._workers[serial] = worker
        self._call(worker, worker.actor.describe.remote(), self._receive_placed)

    def send(self, worker: RayWorker, task: Task) -> None:
        message, files = pickling.dumps(task), files_of(task)
        objects = {}
        for path in (*files.read, *files.updated):
            with suppress(FileNotFoundError):  # the task itself reports a missing file
                objects[path] = self._files.put(path)
        worker.state, worker.files = "busy", files
        worker.update, worker.updated = None, time.monotonic()
        call = worker.actor.run.remote(message, list(objects), *objects.values())
        self._call(worker, call, self._receive_reply)

    def poll(self, timeout: float) -> list[Answer[RayWorker]]:
        calls = {w.call: w for w in self._workers.values() if w.call is not None}
        timeout = min(timeout, _TICK)
        if calls:
            ray.wait(list(calls), timeout=timeout)
        else:
            time.sleep(timeout)
        done, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0) if calls else ([], [])
        answers = [self._finish(calls[call], call) for call in done]
        answers += [self._update(worker) for worker in list(self._workers.values())]
        self._report_waiting()
        return [answer for answer in answers if answer is not None]

    def discard(self, worker: RayWorker) -> None:
        if self._workers.pop(worker.serial, None) is not None:
            worker.state = "ending"
            ray.kill(worker.actor)

    def close(self) -> None:
        workers = list(self._workers.values())
        leaving = [worker.actor.leave.remote() for worker in workers if worker.node]
        if leaving:
            ray.wait(leaving, num_returns=len(leaving), timeout=_LEAVE_SECONDS)
        for worker in workers:
            self.discard(worker)

    # --- Messages ---

    def _call(
        self,
        worker: RayWorker,
        call: ray.ObjectRef,
        receive: Callable[[RayWorker, Any], Answer[RayWorker] | None],
    ) -> None:
        worker.call, worker.receive = call, receive

    def _finish(self, worker: RayWorker, call: ray.ObjectRef) -> Answer[RayWorker] | None:
        """Handle the end of a worker's call; return the answer to its task if it is one."""
        worker.call = None
        try:
            value = ray.get(call)
        except RayError as error:
            return self._lose(worker, error)
        return worker.receive(worker, value) if worker.receive else None

    def _receive_placed(self, worker: RayWorker, node: tuple[str, str]) -> None:
        worker.node, version = node
        if version != __version__:
            return self._refuse(
                worker,
                f"the node {worker.node} has version {version} of lemonade_tf, this machine"
                f" {__version__}; install the same version on all machines.",
            )
        call = worker.actor.start.remote(self._setup_objects)
        self._call(worker, call, self._receive_ready)

    def _receive_ready(self, worker: RayWorker, failure: tuple[str, str] | None) -> None:
        if failure is not None:
            return self._refuse(worker, *failure)
        worker.state, worker.was_ready, self._num_losses_in_setup = "idle", True, 0
        return None

    def _refuse(self, worker: RayWorker, message: str, log: str = "") -> None:
        """Remove a worker that cannot be used; go on with the others if there are any.

        Raises:
            WorkerSetupError: If there are none.
        """
        self.discard(worker)
        if not any(other.was_ready for other in self._workers.values()):
            raise WorkerSetupError(message, log)
        self._num_refused += 1  # else Ray would start another one there, again and again
        _logger.warning("%s The other workers go on.", message)

    def _receive_alive(self, worker: RayWorker, node: tuple[str, str]) -> None:
        worker.state = "idle"

    def _receive_reply(self, worker: RayWorker, reply: Reply) -> Answer[RayWorker]:
        worker.state = "idle"
        self._log(worker, reply.output)
        failed = self._store(worker, reply.files)
        if failed is not None:
            return failed
        failure = reply.failure
        if failure is not None and reply.cause != "raised":  # the node knows only one worker
            failure = failure.replace("worker 0", _name(worker), 1)
        return Answer(worker, reply.result, failure, reply.log, reply.cause)

    def _update(self, worker: RayWorker) -> Answer[RayWorker] | None:
        """Store the files that a worker's task has updated; return its answer if that fails."""
        if worker.state != "busy" or not worker.files.updated:
            return None
        if worker.update is None:
            if time.monotonic() - worker.updated >= _UPDATE_SECONDS:
                worker.update = worker.actor.read_updates.remote()
                worker.updated = time.monotonic()
            return None
        done, _ = ray.wait([worker.update], timeout=0)
        if not done:
            return None
        call, worker.update = worker.update, None
        with suppress(RayError):  # the worker is lost; its other call will tell
            failed = self._store(worker, ray.get(call))
            if failed is not None:
                self.discard(worker)
            return failed
        return None

    def _store(self, worker: RayWorker, contents: Contents) -> Answer[RayWorker] | None:
        """Write files of a worker on this machine; return its answer if that fails."""
        for path, content in contents.items():
            try:
                write_atomic(path, content.tobytes())
            except OSError as error:
                failure = describe_error(error)
                return Answer(worker, failure=failure, cause="raised", errno=error.errno)
        return None

    def _log(self, worker: RayWorker, output: bytes) -> None:
        if output and self._log_dir is not None:
            log = WorkerLog(self._log_dir / f"worker-{worker.slot}.log")
            os.write(log.fileno(), output)
            log.close()

    # --- Losses and waiting ---

    def _lose(self, worker: RayWorker, error: RayError) -> Answer[RayWorker] | None:
        """Remove a worker that died, or whose node did; return the answer to its task."""
        was_busy = worker.state == "busy"
        self.discard(worker)
        reason = _describe_loss(error)
        if was_busy:
            failure = f"{_name(worker)} was lost: {reason}"
            return Answer(worker, failure=failure, log=str(error), cause="died")
        if not worker.was_ready:
            self._num_losses_in_setup += 1
            if self._num_losses_in_setup >= _MAX_LOSSES_IN_SETUP:
                self._num_losses_in_setup = 0
                raise WorkerSetupError(
                    f"workers failed to start: {_MAX_LOSSES_IN_SETUP} times in a row one was lost:"
                    f" {reason} Is lemonade_tf[ray] installed on all nodes?",
                    str(error),
                )
        return None

    def _report_waiting(self) -> None:
        """Log a warning, once, if Ray has not placed workers for long."""
        now = time.monotonic()
        workers = self._workers.values()
        late = [w for w in workers if not w.node and now - w.created >= _LONG]
        if late and not self._has_reported:
            self._has_reported = True
            _logger.warning(
                "Ray has placed %d of %d workers so far: each needs %d CPUs and %g GPUs. The others"
                " start when the cluster has these free (see `ray status`).",
                sum(bool(worker.node) for worker in workers),
                len(workers),
                self._config.threads,
                self._config.gpus,
            )


def num_that_fit(resources: Mapping[str, float], cpus: int, gpus: float) -> int:
    """Return the number of workers that the resources of a node allow.

    Args:
        resources: Quantities by Ray's names.
        cpus: CPUs per worker.
        gpus: GPUs per worker. Several workers may share a GPU, but a fraction is of a single one.
    """
    number = int(resources.get("CPU", 0) // cpus)
    if not gpus:
        return number
    num_gpus = resources.get("GPU", 0)
    with_gpus = num_gpus // gpus if gpus >= 1 else num_gpus * (1 // gpus)
    return min(number, int(with_gpus))


def _name(worker: RayWorker) -> str:
    return f"worker {worker.slot} on {worker.node}"


def _describe_loss(error: RayError) -> str:
    """Return the sentence of Ray's message that states the reason, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith("The actor")] or lines[-1:]
    reason = reasons[-1].partition(". ")[0] if reasons else type(error).__name__
    return " ".join(reason.split())[:300].removesuffix(".") + "."
