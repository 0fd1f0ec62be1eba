"""A worker on a node of a Ray cluster: an actor that runs tasks in a worker process of its own.

The process is one of `ProcessExecutor`, so that crashes, hangs, memory leaks, threads and output
are dealt with as on a single machine. The actor moves files: it writes copies of those that a task
reads, and returns the bytes of those that the task wrote. It loads none of the modules that tasks
need.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray

from lemonade_tf import __version__
from lemonade_tf.executors.base import (
    Cause,
    Task,
    WorkerSetupError,
    describe_error,
    describe_setup_error,
)
from lemonade_tf.executors.device_turn import sharing_variables
from lemonade_tf.executors.environment import SHARED_GPU
from lemonade_tf.executors.node_folder import NodeFolder
from lemonade_tf.executors.processes import ProcessExecutor
from lemonade_tf.executors.task_files import NamesFiles, TaskFiles, files_of, paths_in

Contents = Mapping[str, np.ndarray]  # bytes of files, uint8 (size,), by the driver's paths

_LOG = "worker-0.log"  # of the only worker of the executor


@dataclass(frozen=True)
class NodeConfig:
    """How the workers on nodes work; see `RayExecutor`.

    Attributes:
        key: Identifies the executor.
        setup: The pickled setup.
        path: The driver's `sys.path`; the entries that exist on a node are added there.
        threads: CPU threads per worker.
        gpus: GPUs per worker, a number or a fraction.
        max_tasks_per_worker: Number of tasks after which a process is replaced.
        task_timeout: Seconds after which a task fails; None for no limit.
        preload: Modules to import before a process is forked.
    """

    key: str
    setup: bytes
    path: Sequence[str]
    threads: int
    gpus: float
    max_tasks_per_worker: int
    task_timeout: float | None
    preload: Sequence[str]


@dataclass(frozen=True)
class Reply:
    """The result or the failure of a task, and the files that it wrote.

    Attributes:
        result: The return value of the function; None on failure.
        failure: What went wrong, in one line; None on success.
        cause: Why the task failed; None on success.
        log: As in `Outcome`.
        files: The files that it wrote or updated.
        output: What the process printed.
    """

    result: Any = None
    failure: str | None = None
    cause: Cause | None = None
    log: str = ""
    files: Contents = field(default_factory=dict)
    output: bytes = b""


class NodeWorker:
    """Runs tasks, one at a time. `read_updates` may be called meanwhile, from another thread.

    Args:
        config: How it works.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._folder = NodeFolder(config.key)
        self._logs = Path(tempfile.mkdtemp(dir=self._folder.path))
        self._num_bytes_read = 0  # of the log
        self._executor: ProcessExecutor | None = None
        self._updated: Mapping[str, str] = {}  # the copies that a task updates, by the path
        self._versions: dict[str, tuple[int, ...]] = {}  # those that were read, by the path

    def describe(self) -> tuple[str, str]:
        """Return the name of this node and the version of this package on it."""
        return socket.gethostname(), __version__

    def start(self, objects: Mapping[str, ray.ObjectRef]) -> tuple[str, str] | None:
        """Start the process, and wait until it is ready.

        Args:
            objects: The files that the setup reads, by path.

        Returns:
            The message and the log of a failure; None on success.
        """
        try:
            self._start(objects)
        except WorkerSetupError as error:
            failure = str(error), error.log
        except Exception as error:
            failure = describe_setup_error(error), traceback.format_exc()
        else:
            return None
        self.leave()
        return failure

    def _start(self, objects: Mapping[str, ray.ObjectRef]) -> None:
        config = self._config
        sys.path.extend(p for p in config.path if p not in sys.path and os.path.exists(p))
        if not config.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        elif config.gpus < 1:
            for name, value in SHARED_GPU.items():
                os.environ.setdefault(name, value)
            os.environ |= sharing_variables(round(1 / config.gpus))
        setup: Any = pickle.loads(config.setup)
        if isinstance(setup, NamesFiles):
            setup = setup.with_paths(self._shared_copies(setup.files, objects))
        self._executor = ProcessExecutor(
            setup,
            num_workers=1,
            threads=config.threads,
            gpus_per_worker=max(1, int(config.gpus)),
            max_tasks_per_worker=config.max_tasks_per_worker,
            task_timeout=config.task_timeout,
            preload=config.preload,
            log_dir=self._logs,
        )
        self._executor.start()

    def _shared_copies(
        self, files: TaskFiles, objects: Mapping[str, ray.ObjectRef]
    ) -> dict[str, str]:
        """Return the paths of copies of files that all workers on this node share."""
        return {
            path: str(self._folder.add(name, lambda ref=objects[path]: ray.get(ref)))
            for path, name in paths_in("setup", files).items()
        }

    def run(self, task: bytes, paths: Sequence[str], *contents: np.ndarray) -> Reply:
        """Run a task.

        Args:
            task: The task, pickled.
            paths: The files that it reads, as far as they exist.
            contents: Their bytes.
        """
        try:
            with tempfile.TemporaryDirectory(dir=self._folder.path) as folder:
                contents_by_path = dict(zip(paths, contents, strict=True))
                return self._run(pickle.loads(task), contents_by_path, Path(folder))
        except Exception as error:  # such as a full disk
            failure = describe_error(error)
            return Reply(failure=failure, cause="raised", log=traceback.format_exc())
        finally:
            self._updated, self._versions = {}, {}

    def _run(self, task: Task, contents: Contents, folder: Path) -> Reply:
        """Run a task on copies of its files in a folder."""
        if self._executor is None:
            raise RuntimeError("the worker was not started")
        files = files_of(task)
        copies = paths_in(folder, files)
        for path, copy in copies.items():
            os.mkdir(os.path.dirname(copy))
            if path in contents:
                contents[path].tofile(copy)
        self._updated = {path: copies[path] for path in files.updated}
        localized = task.with_paths(copies) if isinstance(task, NamesFiles) else task
        [outcome] = self._executor.run([localized])
        made = {path: copies[path] for path in (*files.written, *files.updated)}
        return Reply(
            outcome.result,
            outcome.failure,
            outcome.cause,
            outcome.log,
            {path: _read(copy) for path, copy in made.items() if os.path.exists(copy)},
            self._new_output(),
        )

    def _new_output(self) -> bytes:
        """Return what the process has printed since the previous call."""
        with (self._logs / _LOG).open("rb") as log:
            log.seek(self._num_bytes_read)
            output = log.read()
        self._num_bytes_read += len(output)
        return output

    def read_updates(self) -> Contents:
        """Return the files that the running task has updated since the previous call."""
        contents = {}
        for path, copy in self._updated.items():
            with suppress(FileNotFoundError):  # not written yet, or the task just ended
                facts = os.stat(copy)
                version = facts.st_ino, facts.st_mtime_ns, facts.st_size
                if self._versions.get(path) != version:
                    contents[path] = _read(copy)
                    self._versions[path] = version
        return contents

    def leave(self) -> None:
        """Remove the files of this worker, which will be killed."""
        self._folder.leave()


def _read(path: str) -> np.ndarray:
    return np.fromfile(path, np.uint8)
