"""Ctrl-C once: finish what runs. Ctrl-C twice: stop now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Self


class Interruption:
    """Takes the first SIGINT as a request to stop; the second one is a KeyboardInterrupt.

    A context manager. Where SIGINT is not Python's own (another handler, another thread than the
    main one), it is left alone.

    Args:
        on_request: Called when the request comes.

    Attributes:
        requested: Whether it has come.
    """

    def __init__(self, on_request: Callable[[], None]) -> None:
        self._on_request = on_request
        self._is_installed = False
        self.requested = False

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
        if self.requested:
            signal.default_int_handler(number, frame)
        self.requested = True
        self._on_request()


class Unless:
    """Tasks that come to an end when a condition holds."""

    def __init__(self, condition: Callable[[], bool], tasks: Sequence[Any]) -> None:
        self._condition, self._tasks = condition, tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Any]:
        for task in self._tasks:
            if self._condition():
                return
            yield task
