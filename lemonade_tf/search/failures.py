"""End a search when the cause of failures is not the networks.

A child that fails is dropped, and the search continues. But if several networks in a row fail in
the same way, by an exception, a crash or a timeout, then the cause is the machine, the data or a
bug, and all others would fail as well. A network that diverges, or is too large, is the cause of
its own failure and does not count.
"""

from __future__ import annotations

import re

from lemonade_tf.errors import LemonadeError
from lemonade_tf.executors import Outcome

MAX_EQUAL_FAILURES = 3


class SearchError(LemonadeError):
    """A search cannot continue; the message explains why."""


class NotStartedError(SearchError):
    """A search ends before any network is trained, and its run folder is removed.

    A callback may raise it in `on_estimate`.
    """


class BudgetError(NotStartedError):
    """The budget of a search is missing, or too small."""

    exit_status = 2


class FailureWatch:
    """Counts failures of the same kind in a row."""

    def __init__(self) -> None:
        self._kind = ""
        self._ids: list[str] = []

    def note(self, id_: str, outcome: Outcome) -> str | None:
        """Count the outcome of a network.

        Failures are of the same kind if their messages differ in numbers only.

        Args:
            id_: The network.
            outcome: The outcome of its task.

        Returns:
            The reason to end the search, if there is one.
        """
        if outcome.cause is None or outcome.failure is None:
            self._ids.clear()
            return None
        kind = re.sub(r"\d+", "#", outcome.failure)
        if kind != self._kind:
            self._ids.clear()
        self._kind = kind
        self._ids.append(id_)
        if len(self._ids) < MAX_EQUAL_FAILURES:
            return None
        return (
            f"networks {', '.join(self._ids)} failed in a row, in the same way: {outcome.failure}"
        )
