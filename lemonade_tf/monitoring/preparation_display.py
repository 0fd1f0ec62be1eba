"""The progress of preparing an objective: a bar on a terminal, else a line every ten seconds.

A worker measures meanwhile and the search waits for it, so a thread updates what is shown.
"""

from __future__ import annotations

import time
from contextlib import suppress
from threading import Event, Thread

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from lemonade_tf.monitoring.callback import Preparation
from lemonade_tf.monitoring.durations import format_duration
from lemonade_tf.terminal import is_live, print_line

MIN_SHARE = 0.1  # of the measurements, from which the time left is estimated


class PreparationDisplay:
    """Shows the progress of a preparation from `start` to `stop`.

    Args:
        preparation: The preparation.
        console: Where to show it.
        interval: Seconds between two lines where there is no live display.
    """

    def __init__(
        self, preparation: Preparation, console: Console, *, interval: float = 10.0
    ) -> None:
        self._preparation, self._console, self._interval = preparation, console, interval
        self._started = time.monotonic()
        self._live: Live | None = None
        self._thread: Thread | None = None
        self._is_over = Event()

    def start(self) -> None:
        """Start showing the progress."""
        self._started = time.monotonic()
        if is_live(self._console):
            self._live = Live(
                console=self._console,
                get_renderable=lambda: self,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()
        else:
            self._thread = Thread(target=self._print_lines, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop showing the progress, and print how long it took."""
        self._is_over.set()
        if self._live is not None:
            self._live.stop()
        if self._thread is not None:
            self._thread.join()
        print_line(self._console, self.line())

    def line(self) -> str:
        """Return the progress as one line."""
        return f"{self._preparation.objective}: {self._text()}"

    def _text(self) -> str:
        seconds = time.monotonic() - self._started
        duration, progress = format_duration(seconds), self._preparation.progress()
        if progress is None:
            return duration
        done, total = progress
        text = f"{done} of {total} in {duration}"
        if MIN_SHARE * total <= done < total and not self._is_over.is_set():
            text += f", about {format_duration(seconds * (total - done) / done)} left"
        return text

    def _print_lines(self) -> None:
        while not self._is_over.wait(self._interval):
            with suppress(OSError):  # the main thread will meet it as well
                print_line(self._console, self.line())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.line())
        done, total = self._preparation.progress() or (0, None)
        yield ProgressBar(total=total, completed=done, width=min(60, options.max_width))
