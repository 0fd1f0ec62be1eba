"""What a search starts or resumes from, as a value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lemonade_tf.architecture import Graph
from lemonade_tf.config import SearchConfig
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.source import DatasetSource, SharedDatasets
from lemonade_tf.evolution import Individual
from lemonade_tf.objectives.limits import Limit
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.runs.recorded_history import RecordedHistory
from lemonade_tf.search.extra_datasets import ExtraDataset
from lemonade_tf.search.warm_start import WarmStartNetwork
from lemonade_tf.search_spaces import SearchSpace
from lemonade_tf.store import RunStore

if TYPE_CHECKING:
    from lemonade_tf.search.replay import RecordedOrder


@dataclass(frozen=True)
class Setup:
    """Hold what a search starts or resumes from.

    Attributes:
        config: The settings.
        store: The run folder, locked.
        dataset: The first data set.
        space: The search space.
        objectives: The objectives, all minimized, in the order of the settings.
        limits: The limits that no network may exceed.
        initial: The initial networks; only their shapes are used.
        warm_start: The networks of a previous run that the initial networks start from, if any.
        reference_point: The reference point of the hypervolume, by objective.
        history: The recorded part of the search.
        recorded: The recorded networks by id, rebuilt; shapes only.
        extra_datasets: The data sets after the first.
        pending: The accepted children of an asynchronous search that have not been evaluated, by
            id, rebuilt; shapes only.
        order: The order of the run that is replayed, if there is one.
        budgeted: The names of the settings that a time budget chooses; none without one.
    """

    config: SearchConfig
    store: RunStore
    dataset: Dataset
    space: SearchSpace
    objectives: Sequence[Objective]
    limits: Sequence[Limit]
    initial: Sequence[Graph]
    warm_start: Sequence[WarmStartNetwork]
    reference_point: Mapping[str, float]
    history: RecordedHistory = field(default_factory=RecordedHistory)
    recorded: Mapping[str, Individual] = field(default_factory=dict)
    extra_datasets: Sequence[ExtraDataset] = ()
    pending: Mapping[str, Individual] = field(default_factory=dict)
    order: RecordedOrder | None = None
    budgeted: Collection[str] = ()

    def source(self) -> DatasetSource:
        """Return where workers on this machine get the data sets from."""
        return SharedDatasets.of(
            self.dataset, {extra.name: extra.dataset for extra in self.extra_datasets}
        )

    def initial_operators(self, number: int) -> tuple[dict[str, Any], ...]:
        """Return the operators that make an initial network from that of a previous run."""
        if not self.warm_start:
            return ()
        return tuple(dict(operator) for operator in self.warm_start[number].operators)

    @property
    def measured_objectives(self) -> tuple[str, ...]:
        """The expensive objectives except for the errors, by their names in the settings."""
        errors = {"error", *(extra.error for extra in self.extra_datasets)}
        named = zip(self.config.objectives, self.objectives, strict=True)
        return tuple(name for name, o in named if not o.cheap and o.name not in errors)
