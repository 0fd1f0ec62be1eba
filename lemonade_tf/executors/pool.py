"""The interface of a pool of workers, which `PooledExecutor` runs tasks in.

Every task that is sent to a worker has exactly one `Answer`, even if the worker dies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from lemonade_tf.executors.base import Cause, Task


@dataclass(eq=False, kw_only=True)
class PoolWorker:
    """A worker as seen by the driver. An ending worker gets no more tasks."""

    slot: int
    state: Literal["starting", "idle", "busy", "ending"] = "starting"


W = TypeVar("W", bound=PoolWorker)


@dataclass(frozen=True)
class Answer(Generic[W]):
    """The result or the failure of a task that was sent to a worker; see `Outcome`."""

    worker: W
    result: Any = None
    failure: str | None = None
    log: str = ""
    cause: Cause | None = None
    errno: int | None = None


class Pool(ABC, Generic[W]):
    """Starts workers, sends tasks to them, and handles their deaths."""

    def __init__(self) -> None:
        self._workers: dict[int, W] = {}  # by serial number

    @property
    @abstractmethod
    def num_workers(self) -> int:
        """The largest number of workers at a time; it may change."""

    @property
    def idle(self) -> list[W]:
        """The idle workers, ordered by slot."""
        idle = [worker for worker in self._workers.values() if worker.state == "idle"]
        return sorted(idle, key=lambda worker: worker.slot)

    def start_workers(self, num_wanted: float) -> None:
        """Start workers until this many are starting or idle, or the pool is full."""
        num_free = sum(w.state in ("starting", "idle") for w in self._workers.values())
        slots = set(range(self.num_workers)) - {w.slot for w in self._workers.values()}
        for slot in sorted(slots):
            if num_free >= num_wanted:
                return
            self._start_worker(slot)
            num_free += 1

    @abstractmethod
    def resume(self) -> None:
        """Notice workers that died since the previous run. No worker is busy."""

    @abstractmethod
    def _start_worker(self, slot: int) -> None:
        """Start a worker in a free slot."""

    @abstractmethod
    def send(self, worker: W, task: Task) -> None:
        """Send a task to an idle worker.

        Raises:
            Exception: If the task cannot be pickled; the worker is idle then.
        """

    @abstractmethod
    def poll(self, timeout: float) -> list[Answer[W]]:
        """Wait for messages and return the answers among them.

        Args:
            timeout: Seconds to wait for the first message. There may be none.

        Raises:
            WorkerSetupError: If workers failed to start.
        """

    @abstractmethod
    def discard(self, worker: W) -> None:
        """Kill a worker, unless it is dead, and drop its task, which will have no answer."""

    @abstractmethod
    def close(self) -> None:
        """Kill all workers. Closing again has no effect."""
