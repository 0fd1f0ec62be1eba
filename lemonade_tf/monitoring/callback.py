"""The events of a search: subclass `Callback` to follow it."""

from __future__ import annotations

from collections.abc import Sequence

from lemonade_tf.config import SearchConfig
from lemonade_tf.evolution import Proposal
from lemonade_tf.monitoring.search_state import SearchState
from lemonade_tf.store import NetworkRecord


class Callback:
    """Receives the events of a search: override the methods of interest.

    The methods of this class do nothing. An exception raised by a callback ends the search.
    """

    def on_prepare(self, config: SearchConfig, objectives: Sequence[str]) -> None:
        """Called before the search starts, if objectives have to be prepared."""

    def on_search_begin(self, state: SearchState) -> None:
        """Called when the run folder exists, before any network is trained."""

    def on_estimate(self, state: SearchState) -> None:
        """Called before the first network is trained, when `state.estimate` is known.

        Not called for a small search, which would take as long to estimate.
        """

    def on_generation_begin(self, state: SearchState, proposals: Sequence[Proposal]) -> None:
        """Called when the children of a generation are proposed, before they are trained."""

    def on_network_end(self, state: SearchState, record: NetworkRecord) -> None:
        """Called when a network is trained or has failed, with its record in history.jsonl."""

    def on_generation_end(self, state: SearchState) -> None:
        """Called when the population is updated, including once for the initial networks."""

    def on_stop_requested(self, state: SearchState) -> None:
        """Called at the first Ctrl-C: running networks are finished, then the search ends."""

    def on_search_end(self, state: SearchState) -> None:
        """Called when the search ended for any reason and the run folder is complete."""
