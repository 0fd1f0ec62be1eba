"""What a search shows on the terminal while it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import log10

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from lemonade_tf.config import SearchConfig
from lemonade_tf.latency.runtime import RUNTIMES
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.monitoring.search_state import SearchState
from lemonade_tf.store import NetworkRecord

LONG_HOURS = 12.0  # an estimate from here on comes with a warning


class ProgressDisplay(Callback):
    """A live display on a terminal; a line a generation where the output goes elsewhere.

    Args:
        console: Where to write; by default the standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._live: Live | None = None
        self._told = 0.0  # when the state was last told, by time.monotonic

    def on_prepare(self, config: SearchConfig, objectives: Sequence[str]) -> None:
        """Say what is found out before the search begins."""
        names = ", ".join(objectives)
        text = f"Preparing {names}."
        if set(objectives) & set(RUNTIMES):
            text = f"Preparing {names}: measuring some 180 networks, which takes a minute or two."
        self._say(text)

    def on_search_begin(self, state: SearchState) -> None:
        """Say where the run is, and start the display."""
        self._say(f"Run folder: {state.workdir}")
        if state.num_recalled:
            self._say(
                f"Resumed: {state.num_recalled} of {state.num_expected} networks are on record."
            )
        if self.console.is_terminal:
            self._told = time.monotonic()
            self._live = Live(
                console=self.console,
                get_renderable=lambda: display(state, time.monotonic() - self._told),
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()

    def on_estimate(self, state: SearchState) -> None:
        """Say how long it will take, and what to do about it if that is long."""
        for text in estimate_lines(state):
            self._say(text)

    def on_stop_requested(self, state: SearchState) -> None:
        """Say what Ctrl-C did, and what another one does."""
        self._say("Stopping when what runs is finished; Ctrl-C once more stops now.")

    def on_network_end(self, state: SearchState, record: NetworkRecord) -> None:
        """Say what failed. The live display reads the new state by itself."""
        self._told = time.monotonic()
        if record.failure is not None:
            self._say(f"network {record.id} failed: {record.failure}")

    def on_generation_end(self, state: SearchState) -> None:
        """Write a line where there is no live display."""
        if self._live is None:
            self._say(line(state))

    def on_search_end(self, state: SearchState) -> None:
        """Stop the display and leave a last line."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._say(line(state))

    def _say(self, text: str) -> None:
        """Write a line as it is: brackets in a path or a failure are no markup."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)


def _facts(state: SearchState, since: float = 0.0) -> dict[str, str]:
    error = state.best_error
    left = None if state.seconds_left is None else max(0.0, state.seconds_left - since)
    return {
        "generation": f"{state.generation}/{state.config.num_generations}",
        "trained": f"{state.num_trained}/{state.num_expected}"
        + (f" ({state.num_failed} failed)" if state.num_failed else ""),
        "front": str(len(state.front)),
        "best error": "-" if error is None else f"{100 * error:.2f} %",
        "hypervolume": f"{state.hypervolume:.4f}",
        "time": duration(state.seconds + since),
        "left": "-" if left is None else f"about {duration(left)}",
    }


def estimate_lines(state: SearchState) -> list[str]:
    """Return the estimate as a line, and a warning if it is long and nothing ends it sooner."""
    given, most = state.estimate, state.config.max_hours
    hours = given.hours
    length = (
        duration(3600 * hours) if hours < 1 else f"{_rounded(hours)} hour{'s' * (hours >= 1.5)}"
    )
    workers = f"{given.num_workers} worker{'s' * (given.num_workers > 1)}"
    first = (
        f"Estimate: about {length} for {given.num_networks:,} networks on {workers}, if they stay"
        " as large as the initial ones"
    )
    if most is not None and hours > most:
        return [f"{first}; --max_hours ends the search after {most:g}."]
    if hours < LONG_HOURS:
        return [f"{first}."]
    return [
        f"{first}.",
        "That is long: the paper's settings are meant for several GPUs. To have less: --max_hours,"
        " --num_generations, --num_accepted, --epochs, --preset. It can be stopped at any time.",
    ]


def _rounded(hours: float) -> str:
    """Return two figures of a number of 1 or more, thousands separated."""
    digits = 1 - int(log10(hours))
    return f"{round(hours, digits):,.0f}" if hours >= 10 else f"{hours:.1f}".removesuffix(".0")


def line(state: SearchState) -> str:
    """Return the state as one line."""
    return "  ".join(f"{name} {value}" for name, value in _facts(state).items())


def display(state: SearchState, since: float = 0.0) -> Table:
    """Return the state, told some seconds ago, as a small table with a bar."""
    facts = _facts(state, since)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=False)
    for name in facts:
        table.add_column(name, style="bold", header_style="dim")
    table.add_row(*facts.values())
    whole = Table.grid()
    done = state.num_trained + state.num_failed
    whole.add_row(table)
    whole.add_row(ProgressBar(total=state.num_expected, completed=done, width=60))
    return whole


def duration(seconds: float) -> str:
    """Return seconds as text: 45 s, 3:05 min, 2:05 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"
