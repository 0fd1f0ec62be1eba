"""What a user of `search` can be told while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lemonade_tf.config import SearchConfig
from lemonade_tf.evolution import Individual, Proposal
from lemonade_tf.search.estimate import Estimate


@dataclass
class SearchState:
    """How far a search has come. Callbacks read it; only the search writes it.

    Attributes:
        config: The settings.
        workdir: The folder of the run.
        generation: The number of the present generation; 0 while the initial networks train.
        num_trained: Networks trained and evaluated, the initial ones included.
        num_failed: Networks whose training failed.
        num_recalled: How many of both were on record already, as the search was resumed.
        num_expected: Networks that a whole search trains, if every generation is full.
        front: The non-dominated networks so far, by id.
        hypervolume: Of the front, against the reference point in config.json.
        seconds: Since the search began.
        seconds_left: A guess of what is left, from the networks so far; None before the first.
        estimate: How long the whole search takes, told before it starts; None if it is small.
    """

    config: SearchConfig
    workdir: Path
    num_expected: int
    generation: int = 0
    num_trained: int = 0
    num_failed: int = 0
    num_recalled: int = 0
    front: Mapping[str, Individual] = field(default_factory=dict)
    hypervolume: float = 0.0
    seconds: float = 0.0
    seconds_left: float | None = None
    estimate: Estimate | None = None

    @property
    def best_error(self) -> float | None:
        """The least validation error, a fraction; None before the first network."""
        errors = [individual.objectives["error"] for individual in self.front.values()]
        return min(errors, default=None)


class Callback:
    """Override what you want to be told; the methods do nothing. Raising ends the search."""

    def on_stop_requested(self, state: SearchState) -> None:
        """Called when Ctrl-C was pressed once: what runs is finished, then the search ends."""

    def on_prepare(self, config: SearchConfig, objectives: Sequence[str]) -> None:
        """Called before the search begins, if objectives have to find something out first."""

    def on_search_begin(self, state: SearchState) -> None:
        """Called once the run folder exists and before any network is trained."""

    def on_estimate(self, state: SearchState) -> None:
        """Called before the first network is trained, when `state.estimate` is known.

        A small search is over before it could be estimated, and this is not called.
        """

    def on_generation_begin(self, state: SearchState, proposals: Sequence[Proposal]) -> None:
        """Called when the children of a generation are proposed, before they are trained."""

    def on_network_end(self, state: SearchState, record: Mapping[str, Any]) -> None:
        """Called when a network is trained or has failed, with its line of history.jsonl."""

    def on_generation_end(self, state: SearchState) -> None:
        """Called when the population has been updated; once for the initial networks, too."""

    def on_search_end(self, state: SearchState) -> None:
        """Called at the end, however the search ends, when the run folder is complete."""
