"""Ask before a search that takes long without the user having chosen how long.

That is a search with the paper's 100 generations, by default and not by choice, whose estimate is
an hour or more. In a terminal, it starts after a yes; elsewhere, with `--yes` or a budget only.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lemonade_tf.config import SearchConfig
from lemonade_tf.monitoring.callback import Callback, SearchState
from lemonade_tf.monitoring.durations import in_words, time_in
from lemonade_tf.search.failures import BudgetError, NotStartedError
from lemonade_tf.terminal import print_line

if TYPE_CHECKING:
    from lemonade_tf.monitoring.progress import ProgressDisplay

LONG_HOURS = 1.0  # a shorter search starts without a question
_BUDGETS = ("minutes", "max_hours", "num_generations", "preset")
_ADVICE = "choose a budget, such as --minutes 60 or --num_generations 10"


class Confirmation(Callback):
    """Asks whether to start a search that takes long, or refuses it where there is nobody to ask.

    Args:
        display: The display of the progress, which is taken away for the question.
        given: The settings that the user gave.
        yes: Whether the answer is yes, so that there is no question.
        read: Reads a line from the terminal; an empty text at its end. None if there is none.
    """

    def __init__(
        self,
        display: ProgressDisplay,
        given: Mapping[str, Any],
        *,
        yes: bool,
        read: Callable[[], str] | None,
    ) -> None:
        self._display, self._read = display, read
        self._is_chosen = yes or any(given.get(name) is not None for name in _BUDGETS)

    def on_estimate(self, state: SearchState) -> None:
        """Ask, if the search takes long.

        Raises:
            BudgetError: If there is nobody to ask.
            NotStartedError: If the answer is not yes.
        """
        if self._is_chosen or not is_long_by_default(state):
            return
        seconds = 3600 * (state.estimate.hours if state.estimate else 0.0)
        length = f"about {in_words(seconds)}, until about {time_in(seconds)}"
        if self._read is None:
            raise BudgetError(
                f"without a budget, this search takes {length}, and there is no terminal to ask;"
                f" {_ADVICE}, or give --yes to start it."
            )
        with self._display.paused(), _ctrl_c_ends():
            console = self._display.console
            print_line(console, f"This search takes {length}; a shorter one: {_ADVICE}.")
            console.print("Start it? [y/N] ", end="", markup=False, highlight=False)
            try:
                answer = self._read()
            except KeyboardInterrupt:
                console.print()
                raise NotStartedError("stopped by Ctrl-C; nothing was started.") from None
        if answer.strip().lower() not in ("y", "yes"):
            raise NotStartedError(f"not started, as the answer was not yes; {_ADVICE}.")


def is_long_by_default(state: SearchState) -> bool:
    """Return whether a search has the paper's generations, no other limit, and takes long."""
    config, estimate = state.config, state.estimate
    is_default = config.num_generations == SearchConfig.num_generations
    has_limit = (config.minutes or config.max_hours) is not None or not is_default
    return estimate is not None and not has_limit and estimate.hours >= LONG_HOURS


def terminal_reader() -> Callable[[], str] | None:
    """Return what reads a line from the terminal; None if there is none on both ends."""
    for stream in (sys.stdin, sys.stdout):
        if stream is None or not stream.isatty():
            return None
    return sys.stdin.readline


@contextmanager
def _ctrl_c_ends() -> Iterator[None]:
    """Make Ctrl-C end the question: the search has a handler that would wait for its networks."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
