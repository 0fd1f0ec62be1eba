"""Report the progress of a search: keep its state up to date and inform the callbacks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lemonade_tf.monitoring.callback import announce

if TYPE_CHECKING:
    from lemonade_tf.evolution.generation import Batch
    from lemonade_tf.monitoring.callback import Callback, SearchState
    from lemonade_tf.search.running_front import Front
    from lemonade_tf.store import NetworkRecord


class Reporter:
    """Maintains the state of a search and informs callbacks of its events.

    Args:
        state: The state, which callbacks see.
        callbacks: The callbacks.
        started: When the search started or resumed, a value of `time.monotonic`.
        deadline: When it ends at the latest, a value of `time.monotonic`; None without a limit.
    """

    def __init__(
        self,
        state: SearchState,
        callbacks: Sequence[Callback],
        *,
        started: float,
        deadline: float | None,
    ) -> None:
        self.state = state
        self._callbacks, self._started, self._deadline = callbacks, started, deadline
        self._training_started = started

    def announce(self, stage: str) -> None:
        """Report work that may take a while."""
        announce(self._callbacks, stage)

    def notify(self, event: str, *arguments: Any) -> None:
        """Call the method of each callback that is named like an event."""
        for callback in self._callbacks:
            getattr(callback, event)(self.state, *arguments)

    def restore(self, records: Sequence[NetworkRecord], front: Front) -> None:
        """Count the networks that were recorded before the search was resumed."""
        self._count(records)
        self.state.num_recalled = len(records)
        self.state.generation = max((record.generation for record in records), default=0)
        self._show(front)

    def begin_search(self) -> None:
        """Report that the run folder exists, and training begins."""
        self.state.seconds = time.monotonic() - self._started
        self.notify("on_search_begin")

    def begin_training(self) -> None:
        """Start the clock of the pace at which networks are trained.

        What came before, such as measuring latency tables, does not happen again.
        """
        self._training_started = time.monotonic()

    def begin_generation(self, batch: Batch) -> None:
        """Report that the children of a generation are proposed."""
        self.state.generation = batch.generation
        self.notify("on_generation_begin", batch.proposals)

    def end_network(self, record: NetworkRecord, front: Front) -> None:
        """Report a network that was trained or has failed."""
        self._count([record])
        self._show(front)
        self._update_clock()
        self.notify("on_network_end", record)

    def end_search(self) -> None:
        """Report that the search ended and its folder is complete."""
        self._update_clock()
        self.notify("on_search_end")

    def _update_clock(self) -> None:
        """Update the time that has passed, and the estimate of the time left."""
        state, now = self.state, time.monotonic()
        state.seconds = now - self._started
        total = state.num_trained + state.num_failed
        if total > state.num_recalled:
            pace = (now - self._training_started) / (total - state.num_recalled)
            left = max(0, state.num_expected - total) * pace
            if self._deadline is not None:
                left = min(left, max(0.0, self._deadline - now))
            state.seconds_left = left

    def _count(self, records: Iterable[NetworkRecord]) -> None:
        for record in records:
            if record.failure is None:
                self.state.num_trained += 1
            else:
                self.state.num_failed += 1

    def _show(self, front: Front) -> None:
        self.state.front, self.state.hypervolume = front.members, front.hypervolume
