"""Failures in a row: when it is not the children's fault.

A child that fails is dropped, and the search goes on. But if networks fail one after the other in
the same way, by an exception, a death or a hang, then what fails them is the machine, the data or a
bug, and all others would fail, too. A network that diverges, or is too large, fails by itself and
counts as none of these.
"""

from __future__ import annotations

import re

from lemonade_tf.executors import Outcome

MOST_EQUAL_FAILURES = 3


class FailureWatch:
    """Counts failures of the same kind in a row."""

    def __init__(self) -> None:
        self._kind = ""
        self._ids: list[str] = []

    def note(self, id_: str, outcome: Outcome) -> str | None:
        """Take note of what became of a network.

        Failures are of the same kind if their messages differ in numbers only.

        Args:
            id_: The network.
            outcome: What became of it.

        Returns:
            What to tell the user if the search should end; else None.
        """
        if outcome.cause is None:
            self._ids.clear()
            return None
        kind = re.sub(r"\d+", "#", outcome.failure)
        if kind != self._kind:
            self._ids.clear()
        self._kind = kind
        self._ids.append(id_)
        if len(self._ids) < MOST_EQUAL_FAILURES:
            return None
        return (
            f"networks {', '.join(self._ids)} failed one after the other, in the same way:"
            f" {outcome.failure}"
        )
