"""What the folder of a run says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.datasets.names import extra_dataset_names
from lemonade_tf.evolution import hypervolume, pareto_front
from lemonade_tf.objectives import ERROR, Objective, run_objectives
from lemonade_tf.runs.quality import coordinates
from lemonade_tf.store import RunStore


@dataclass(frozen=True)
class Run:
    """What a run folder says.

    Attributes:
        store: The folder.
        config: The contents of config.json.
        history: The lines of history.jsonl, in order of completion.
    """

    store: RunStore
    config: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives of the run."""
        return run_objectives(self.config, self.config.get("prepared", {}))

    @property
    def error(self) -> Objective:
        """The objective that every run has."""
        return next(o for o in self.objectives if o.name == ERROR.name)

    @property
    def others(self) -> tuple[Objective, ...]:
        """The objectives but the error: the cheap ones first, else in the order of the run."""
        others = (o for o in self.objectives if o.name != ERROR.name)
        return tuple(sorted(others, key=lambda objective: not objective.cheap))

    @cached_property
    def further(self) -> tuple[str, ...]:
        """What the data sets after the first are called."""
        return extra_dataset_names(self.config["dataset"])

    @cached_property
    def trained(self) -> list[Mapping[str, Any]]:
        """The lines of networks that were trained and did not fail."""
        return [line for line in self.history if line["failure"] is None]

    @cached_property
    def measured_seconds(self) -> Mapping[str, Mapping[str, float]]:
        """The measured inference times of networks of the front: by objective, then by id."""
        found: dict[str, dict[str, float]] = {}
        for line in self.store.measurements.read():
            if line["seconds"] is not None:
                found.setdefault(line["objective"], {})[line["id"]] = line["seconds"]
        return found

    @property
    def num_generations(self) -> int:
        """The number of the last generation that trained a network."""
        return max((line["generation"] for line in self.trained), default=0)

    def front(self, generation: int | None = None) -> list[Mapping[str, Any]]:
        """Return the lines of the front after a generation, by the first cheap objective.

        It is the front of the search: of networks with equal objectives it has the oldest, which
        need not be the one that was completed first.
        """
        lines = [
            line for line in self.trained if generation is None or line["generation"] <= generation
        ]
        return self._front_of(lines)

    def hypervolumes(self) -> np.ndarray:
        """Return the hypervolume of the front after each trained network, (networks,)."""
        reference = np.array(coordinates(self.objectives, self.config["reference"]))
        front, value, values = np.empty((0, len(reference))), 0.0, []
        for line in self.trained:
            point = np.array(coordinates(self.objectives, line["objectives"]))
            if not (front <= point).all(axis=1).any():
                value += _gain(point, front, reference)
                front = np.vstack([front[~(point <= front).all(axis=1)], point])
            values.append(value)
        return np.array(values)

    def _front_of(self, lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        if not lines:
            return []
        oldest_first = sorted(lines, key=_age)
        points = [[line["objectives"][o.name] for o in self.objectives] for line in oldest_first]
        front = [oldest_first[i] for i in pareto_front(points, keep_equal=False)]
        size = self.others[0].name
        return sorted(front, key=lambda line: line["objectives"][size])


def _age(line: Mapping[str, Any]) -> tuple[int, int]:
    """Return generation and attempt of a network, which its id tells."""
    generation, _, attempt = line["id"].partition("-")
    return int(generation), int(attempt)


def _gain(point: np.ndarray, front: np.ndarray, reference: np.ndarray) -> float:
    """Return by how much a point adds to the hypervolume of a front.

    It is the volume of the point's box without what the front has of it (WFG's exclusive
    hypervolume), which takes milliseconds where the hypervolume of the whole takes seconds.

    References:
        While, Bradstreet, Barone: A fast way of calculating exact hypervolumes. IEEE Trans.
        Evolutionary Computation 16(1), 2012.
    """
    box = hypervolume(point[None], reference)
    shared = np.maximum(point, front)
    return box - hypervolume(shared[pareto_front(shared, keep_equal=False)], reference)


def read_run(workdir: str | Path) -> Run:
    """Return what a run folder says.

    Raises:
        StoreError: The folder holds no run, or one that is damaged.
    """
    store = RunStore.open(workdir)
    return Run(store, store.read_config(), store.history.read())
