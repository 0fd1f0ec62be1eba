"""Follow a search: subclass `Callback` to receive its events and its state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lemonade_tf.config import SearchConfig
    from lemonade_tf.evolution.generation import Proposal
    from lemonade_tf.store import NetworkRecord


@dataclass(frozen=True)
class Estimate:
    """Estimate the duration of a search.

    Attributes:
        seconds_per_initial: Seconds per initial network, on its worker.
        seconds_per_child: Seconds per child, on its worker.
        hours: The whole search.
        num_networks: The number of networks that it trains.
        num_workers: The number of networks trained at a time.
    """

    seconds_per_initial: float
    seconds_per_child: float
    hours: float
    num_networks: int
    num_workers: int


@dataclass(frozen=True)
class Preparation:
    """The preparation of an objective, such as the measuring of a latency table.

    Attributes:
        objective: The name of the objective in the settings.
        progress: Returns how many networks are measured, and of how many; None if this is not
            known.
    """

    objective: str
    progress: Callable[[], tuple[int, int] | None]


@dataclass
class SearchState:
    """Hold the progress of a search. Callbacks read it; only the search writes it.

    Attributes:
        config: The settings.
        workdir: The run folder.
        num_expected: The number of networks that a complete search trains.
        num_initial: How many of them are initial networks.
        generation: The number of the current generation; 0 while the initial networks train. In
            asynchronous mode, it follows from the number of completed children.
        num_trained: Networks trained and evaluated, including the initial ones.
        num_failed: Networks that failed.
        num_recalled: How many of both were recorded before the search was resumed.
        front: The non-dominated networks so far, by id.
        hypervolume: The hypervolume of the front, up to the reference point in config.json.
        seconds: Seconds since the search started or resumed.
        seconds_left: The estimated rest, from the pace of the networks trained since the search
            started or resumed; None before the first.
        estimate: The duration estimated before the search; None for a small search.
    """

    config: SearchConfig
    workdir: Path
    num_expected: int
    num_initial: int = 0
    generation: int = 0
    num_trained: int = 0
    num_failed: int = 0
    num_recalled: int = 0
    front: Mapping[str, NetworkRecord] = field(default_factory=dict)
    hypervolume: float = 0.0
    seconds: float = 0.0
    seconds_left: float | None = None
    estimate: Estimate | None = None

    @property
    def best_error(self) -> float | None:
        """The lowest validation error, a fraction; None before the first network."""
        return min((record.error for record in self.front.values()), default=None)


class Callback:
    """Receives the events of a search: override the methods of interest.

    The methods of this class do nothing. An exception raised by a callback ends the search.
    """

    def on_stage(self, stage: str) -> None:
        """Called before work that may take a while, with a sentence that describes it."""

    def on_prepare(self, config: SearchConfig, objectives: Sequence[str]) -> None:
        """Called before the search starts, if objectives have to be prepared."""

    def on_prepare_begin(self, preparation: Preparation) -> None:
        """Called before each objective that has to be prepared."""

    def on_prepare_end(self, preparation: Preparation) -> None:
        """Called when an objective is prepared, or its preparation ended for any other reason."""

    def on_search_begin(self, state: SearchState) -> None:
        """Called when the run folder exists, before any network is trained."""

    def on_estimate(self, state: SearchState) -> None:
        """Called before the first network is trained, when `state.estimate` is known.

        Not called for a small search, which would take as long to estimate.
        """

    def on_generation_begin(self, state: SearchState, proposals: Sequence[Proposal]) -> None:
        """Called when the children of a generation are proposed, before they are trained.

        In asynchronous mode, called with the children proposed for each slot.
        """

    def on_network_end(self, state: SearchState, record: NetworkRecord) -> None:
        """Called when a network is trained or has failed, with its record in history.jsonl."""

    def on_generation_end(self, state: SearchState) -> None:
        """Called when the population is updated, including once for the initial networks.

        In asynchronous mode, called whenever as many children are completed as a generation has.
        """

    def on_stop_requested(self, state: SearchState) -> None:
        """Called at the first Ctrl-C: running networks are finished, then the search ends."""

    def on_search_end(self, state: SearchState) -> None:
        """Called when the search ended for any reason and the run folder is complete."""


def announce(callbacks: Iterable[Callback], stage: str) -> None:
    """Inform callbacks of a stage; see `Callback.on_stage`."""
    for callback in callbacks:
        callback.on_stage(stage)
