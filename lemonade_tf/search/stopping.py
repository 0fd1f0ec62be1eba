"""Stop a search early: when its time is up, or at Ctrl-C.

Ctrl-C once finishes the networks in training; twice stops immediately.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from lemonade_tf.architecture import Graph
    from lemonade_tf.search.time_budget import TimeBudget


class Interruption:
    """Takes the first SIGINT as a request to stop; the second raises KeyboardInterrupt.

    A context manager. It leaves SIGINT alone if Python's default handler is not installed, or
    outside the main thread.

    Args:
        on_request: Called at the first SIGINT.

    Attributes:
        is_requested: Whether there was a SIGINT.
    """

    def __init__(self, on_request: Callable[[], None]) -> None:
        self._on_request = on_request
        self._is_installed = False
        self.is_requested = False

    def __enter__(self) -> Self:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._is_installed = True
        return self

    def __exit__(self, *_: Any) -> None:
        if self._is_installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._is_installed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.is_requested:
            signal.default_int_handler(number, frame)
        self.is_requested = True
        self._on_request()


@dataclass(frozen=True)
class StopCondition:
    """Decides whether to start another network.

    Attributes:
        deadline: When time is up, a value of `time.monotonic`; None without a limit.
        is_requested: Returns whether the user asked to stop.
        budget: Knows which networks would be complete in time; None without a time budget.
    """

    deadline: float | None = None
    is_requested: Callable[[], bool] = lambda: False
    budget: TimeBudget | None = None

    def allows(self, graph: Graph) -> bool:
        """Return whether a network may start now."""
        return self.budget is None or self.budget.fits(graph)

    def is_met(self) -> bool:
        """Return whether time is up or the user asked to stop."""
        is_due = self.deadline is not None and time.monotonic() >= self.deadline
        return is_due or self.is_requested()


class StoppableTasks:
    """Tasks for an executor, which end early when a condition is met.

    Args:
        tasks: The tasks.
        stop_when: Called before each task; True ends the iteration.
        allows: Called with each task; False leaves it out.
    """

    def __init__(
        self,
        tasks: Sequence[Any],
        stop_when: Callable[[], bool],
        allows: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        self._tasks, self._stop_when, self._allows = tasks, stop_when, allows

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Any]:
        for task in self._tasks:
            if self._stop_when():
                return
            if self._allows(task):
                yield task
