"""The progress of a search: live on a terminal, else as lines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lemonade_tf.config import SearchConfig
from lemonade_tf.latency.runtime import RUNTIMES
from lemonade_tf.monitoring.callback import Callback, Estimate, Preparation, SearchState
from lemonade_tf.monitoring.durations import format_duration, in_words, time_in
from lemonade_tf.monitoring.preparation_display import PreparationDisplay
from lemonade_tf.store import NetworkRecord
from lemonade_tf.terminal import is_live, make_console, print_line

LONG_HOURS = 12.0  # a longer estimate comes with a warning
QUIET_SECONDS = 60.0  # without a live display, a network that ends after so long gives a line


class ProgressDisplay(Callback):
    """Show the progress: live on a terminal, else as lines.

    Args:
        console: Where to write; by default, standard output.

    Attributes:
        state: The progress of the search; None before there is a run folder.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or make_console()
        self.state: SearchState | None = None
        self._live: Live | None = None
        self._preparation: PreparationDisplay | None = None
        self._updated = 0.0  # when the state last changed, by time.monotonic
        self._printed = 0.0  # when a line was last printed

    def on_stage(self, stage: str) -> None:
        """Print what happens next."""
        self._print(stage)

    def on_prepare(self, config: SearchConfig, objectives: Sequence[str]) -> None:
        """Print which objectives are prepared."""
        names = ", ".join(objectives)
        text = f"Preparing {names}."
        if set(objectives) & set(RUNTIMES):
            text = (
                f"Preparing {names}: timing about 180 layers and networks, twice each. On an idle"
                " machine it takes about a minute for images of up to 32x32 pixels, several minutes"
                " for larger ones; on a busy one, many times as long."
            )
        self._print(text)

    def on_prepare_begin(self, preparation: Preparation) -> None:
        """Show the progress of preparing an objective."""
        self._preparation = PreparationDisplay(preparation, self.console)
        self._preparation.start()

    def on_prepare_end(self, preparation: Preparation) -> None:
        """Stop showing it."""
        if self._preparation is not None:
            self._preparation.stop()
            self._preparation = None

    def on_search_begin(self, state: SearchState) -> None:
        """Print the run folder, and start the live display."""
        self.state = state
        self._print(f"Run folder: {state.workdir}")
        if state.num_recalled:
            self._print(
                f"Resumed: {state.num_recalled} of {state.num_expected} networks are recorded."
            )
        self._start_live()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the live display away, for a question."""
        self._stop_live()
        try:
            yield
        finally:
            self._start_live()

    def on_estimate(self, state: SearchState) -> None:
        """Print the estimated duration, with advice if it is long."""
        if state.estimate is not None:
            for text in estimate_lines(state.estimate, state.config.max_hours):
                self._print(text)

    def on_stop_requested(self, state: SearchState) -> None:
        """Print the effect of Ctrl-C, and of pressing it again."""
        self._print("Stopping after the running networks; press Ctrl-C again to stop now.")

    def on_network_end(self, state: SearchState, record: NetworkRecord) -> None:
        """Print a failure, and without a live display each initial network.

        The live display reads the changed state itself.
        """
        self._updated = time.monotonic()
        if record.failure is not None:
            self._print(f"network {record.id} failed: {record.failure}")
        if self._live is not None:
            return
        if record.generation == 0:
            number, error = state.num_trained + state.num_failed, record.objectives.get("error")
            result = "failed" if error is None else f"validation error {100 * error:.2f} %"
            self._print(f"initial network {number} of {state.num_initial}: {result}")
        elif time.monotonic() - self._printed > QUIET_SECONDS:
            self._print(progress_line(state))

    def on_generation_end(self, state: SearchState) -> None:
        """Print a line where there is no live display."""
        if self._live is None:
            self._print(progress_line(state))

    def on_search_end(self, state: SearchState) -> None:
        """Stop the live display, and print a last line."""
        if self._live is not None:
            self._stop_live()
            self._print(progress_line(state))

    def _start_live(self) -> None:
        if not is_live(self.console) or (state := self.state) is None:
            return
        self._updated = time.monotonic()
        self._live = Live(
            console=self.console,
            get_renderable=lambda: ProgressTable(state, time.monotonic() - self._updated),
            refresh_per_second=4,
            transient=True,
            vertical_overflow="crop",
        )
        self._live.start()

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _print(self, text: str) -> None:
        print_line(self.console, text)
        self._printed = time.monotonic()


def progress_line(state: SearchState) -> str:
    """Return the progress as one line."""
    return "  ".join(f"{name} {value}" for name, value in _columns(state).items())


class ProgressTable:
    """The progress as a table with a bar, or as lines on a terminal too narrow for the table.

    Args:
        state: The progress.
        elapsed: Seconds since it changed, for the clock.
    """

    def __init__(self, state: SearchState, elapsed: float = 0.0) -> None:
        self._state, self._elapsed = state, elapsed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = _columns(self._state, self._elapsed)
        width = sum(max(map(len, column)) + 2 for column in columns.items())
        if width <= options.max_width:
            table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=False)
            for name in columns:
                table.add_column(name, style="bold", header_style="dim", no_wrap=True)
            table.add_row(*columns.values())
            yield table
        else:
            yield from _lines(columns)
        completed = self._state.num_trained + self._state.num_failed
        yield ProgressBar(
            total=self._state.num_expected,
            completed=completed,
            width=min(60, options.max_width),
        )


def _lines(columns: dict[str, str]) -> Iterator[Text]:
    label = max(map(len, columns)) + 1
    for name, value in columns.items():
        yield Text.assemble((f"{name:{label}}", "dim"), (value, "bold"))


def _columns(state: SearchState, elapsed: float = 0.0) -> dict[str, str]:
    error, left = state.best_error, state.seconds_left
    return {
        "generation": f"{state.generation}/{state.config.num_generations}",
        "trained": f"{state.num_trained}/{state.num_expected}"
        + (f" ({state.num_failed} failed)" if state.num_failed else ""),
        "front": str(len(state.front)),
        "best error": "-" if error is None else f"{100 * error:.2f} %",
        "hypervolume": f"{state.hypervolume:.4f}",
        "time": format_duration(state.seconds + elapsed),
        "left": "-" if left is None else f"about {format_duration(max(0.0, left - elapsed))}",
    }


def estimate_lines(estimate: Estimate, max_hours: float | None) -> list[str]:
    """Return the estimate as a line, followed by advice if it is long.

    Args:
        estimate: The estimate.
        max_hours: When the search ends in any case; None for never.
    """
    hours = estimate.hours
    length = in_words(3600 * hours)
    until = f", until about {time_in(3600 * hours)}," if hours >= 1 else ""
    workers = f"{estimate.num_workers} worker{'s' * (estimate.num_workers > 1)}"
    first = (
        f"Estimate: about {length}{until} for {estimate.num_networks:,} networks on {workers}, if"
        " networks stay as large as the initial ones"
    )
    if max_hours is not None and hours > max_hours:
        return [f"{first}; --max_hours ends the search after {max_hours:g}."]
    if hours < LONG_HOURS:
        return [f"{first}."]
    return [
        f"{first}.",
        "The paper's settings are meant for several GPUs. To shorten the search, set"
        " --max_hours, --num_generations, --num_accepted, --epochs or --preset. It can be stopped"
        " at any time.",
    ]
