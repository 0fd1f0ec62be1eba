"""A run folder as a value: its settings, its networks, its front and their hypervolume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lemonade_tf.datasets.names import extra_dataset_names, parse_datasets
from lemonade_tf.evolution import hypervolume, pareto_front
from lemonade_tf.keras_bridge import load_architecture
from lemonade_tf.objectives.builtin import PARAMETERS
from lemonade_tf.objectives.lookup import run_objectives
from lemonade_tf.objectives.network_errors import ERROR
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.runs.checked_values import check_values
from lemonade_tf.runs.front import front_of
from lemonade_tf.runs.quality import coordinates
from lemonade_tf.store import NetworkRecord, RunConfig, RunStore, StoreError


@dataclass(frozen=True)
class Run:
    """A run, as read from its folder.

    Attributes:
        store: The folder.
        config: The contents of config.json.
        history: The records of history.jsonl, in order of completion.
    """

    store: RunStore
    config: RunConfig
    history: Sequence[NetworkRecord]

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives of the run, of which every network has a possible value.

        Raises:
            ObjectiveError: If one cannot be found.
            StoreError: If a value is missing or impossible.
        """
        objectives = run_objectives(self.config.settings, self.config.prepared)
        check_values(self.store, self.history, objectives, self.config.reference_point)
        return objectives

    @property
    def error(self) -> Objective:
        """The validation error, which is an objective of every run."""
        return next(o for o in self.objectives if o.name == ERROR.name)

    @property
    def others(self) -> tuple[Objective, ...]:
        """The objectives without the error: the cheap ones first, else in the order of the run."""
        others = (o for o in self.objectives if o.name != ERROR.name)
        return tuple(sorted(others, key=lambda objective: not objective.cheap))

    @property
    def size(self) -> Objective:
        """The objective that is the size of a network: parameters, else the first cheap one."""
        names = [objective.name for objective in self.others]
        return self.others[names.index(PARAMETERS.name) if PARAMETERS.name in names else 0]

    @property
    def dataset(self) -> str:
        """The name or path of the first data set."""
        return parse_datasets(self.config.dataset)[0]

    @cached_property
    def extra_datasets(self) -> tuple[str, ...]:
        """The names of the data sets after the first."""
        return extra_dataset_names(self.config.dataset)

    @cached_property
    def trained(self) -> list[NetworkRecord]:
        """The networks that were trained without failure, in order of completion."""
        return [record for record in self.history if record.failure is None]

    @cached_property
    def measured(self) -> Mapping[str, Mapping[str, float]]:
        """The measured times and int8 sizes of networks of the front, by objective and id."""
        found: dict[str, dict[str, float]] = {}
        for record in self.store.measurements.read():
            if record.measured is not None:
                found.setdefault(record.objective, {})[record.id] = record.measured
        return found

    @property
    def num_generations(self) -> int:
        """The number of the last generation with a trained network."""
        return max((record.generation for record in self.trained), default=0)

    def front(self, generation: int | None = None) -> list[NetworkRecord]:
        """Return the Pareto front after a generation, sorted by the first cheap objective.

        Args:
            generation: Which generation; by default the last one.
        """
        records = self.trained
        if generation is not None:
            records = [record for record in records if record.generation <= generation]
        return front_of(records, self.objectives)

    def computed(self, objective: Objective, network: NetworkRecord) -> float:
        """Return a cheap objective of a network, computed from its file unless it is recorded.

        Raises:
            StoreError: If it has no file.
        """
        key = objective.name, network.id
        if key not in self._computed:
            self._computed[key] = objective.value(
                load_architecture(self.store.find_model(network.id))
            )
        return self._computed[key]

    @cached_property
    def _computed(self) -> dict[tuple[str, str], float]:
        """The values of cheap objectives that were computed, by objective and id."""
        return {}

    def hypervolumes(self) -> np.ndarray:
        """Return the hypervolume of the front after each trained network, (networks,)."""
        reference = np.array(coordinates(self.objectives, self.config.reference_point))
        front, value, values = np.empty((0, len(reference))), 0.0, []
        # A network changes the hypervolume only if no member of the front so far dominates or
        # equals it; the members that it dominates then leave.
        for record in self.trained:
            point = np.array(coordinates(self.objectives, record.objectives))
            if not (front <= point).all(axis=1).any():
                value += _hypervolume_gain(point, front, reference)
                front = np.vstack([front[~(point <= front).all(axis=1)], point])
            values.append(value)
        return np.array(values)


def _hypervolume_gain(point: np.ndarray, front: np.ndarray, reference: np.ndarray) -> float:
    """Return by how much a point increases the hypervolume of a front.

    That is the volume of the box between the point and the reference point, less the part of the
    box that the front dominates. This part is the hypervolume of the front with each member moved
    into the box, which takes milliseconds where the hypervolume of the whole front takes seconds.

    References:
        While, Bradstreet, Barone: A fast way of calculating exact hypervolumes. IEEE Trans.
        Evolutionary Computation 16(1), 2012 (the exclusive hypervolume of WFG).
    """
    box = hypervolume(point[None], reference)
    # A member moved into the box dominates the same part of it; most members then coincide or
    # are dominated, which leaves few for the second hypervolume.
    shared = np.maximum(point, front)
    return box - hypervolume(shared[pareto_front(shared, keep_equal=False)], reference)


def read_run(workdir: str | Path) -> Run:
    """Read a run folder.

    Raises:
        StoreError: If the folder holds no run, or a damaged one.
    """
    store = RunStore.open(workdir)
    return Run(store, store.read_config(), store.history.read(growing=_may_grow(store)))


def _may_grow(store: RunStore) -> bool:
    """Return whether a search may be appending to the history now."""
    try:
        return store.is_locked()
    except StoreError:  # of a file system without locks
        return False
