"""The Pareto front of a search under way: which networks, its hypervolume, front.csv."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lemonade_tf.evolution import Individual, update_front
from lemonade_tf.objectives import Objective
from lemonade_tf.runs.quality import front_hypervolume
from lemonade_tf.search.extra_datasets import FurtherData
from lemonade_tf.store import RunStore


class Front:
    """The non-dominated networks so far, and what front.csv says of them.

    Args:
        store: The run folder.
        objectives: What is minimised.
        reference: The reference point of the hypervolume, by objective.
        further: The data sets after the first.

    Attributes:
        members: The networks, by id.
        hypervolume: Of the front.
    """

    def __init__(
        self,
        store: RunStore,
        objectives: Sequence[Objective],
        reference: Mapping[str, float],
        further: Sequence[FurtherData],
    ) -> None:
        self.members: dict[str, Individual] = {}
        self.hypervolume = 0.0
        self._store, self._objectives, self._reference = store, objectives, reference
        self._further = further
        self._names = [objective.name for objective in objectives]
        self._size = next(o.name for o in objectives if o.cheap)
        self._test_errors: dict[str, Mapping[str, float | None]] = {}  # by id, then by column

    def recall(self, individuals: Iterable[Individual], lines: Mapping[str, Any]) -> None:
        """Become the front of networks that are on record.

        Args:
            individuals: The networks, evaluated.
            lines: Their lines of history.jsonl, by id.
        """
        individuals = list(individuals)
        for individual in individuals:
            self._note_test_errors(individual, lines[individual.id])
        self._become(individuals)

    def add(self, individual: Individual, details: Mapping[str, Any]) -> bool:
        """Add a network, unless it is dominated, and bring front.csv up to date.

        Args:
            individual: The network, evaluated.
            details: What its line of history.jsonl says of its test errors.

        Returns:
            Whether the front is another one now.

        Raises:
            StoreError: front.csv cannot be written; the one before stays.
        """
        self._note_test_errors(individual, details)
        before = set(self.members)
        self._become([*self.members.values(), individual])
        changed = set(self.members) != before
        if changed:
            self.write()
        return changed

    def write(self) -> None:
        """Write front.csv.

        Raises:
            StoreError: It cannot be written; the one before stays.
        """
        columns = [data.test_error for data in self._further]
        self._store.write_front(self.rows(), self._names, columns)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of front.csv, from the smallest network on."""
        by_size = sorted(self.members.values(), key=lambda i: i.cheap[self._size])
        return [
            {
                "id": i.id,
                "file": f"models/{i.id}.h5",
                **{name: i.objectives[name] for name in self._names},
                **self._test_errors[i.id],
            }
            for i in by_size
        ]

    def _become(self, individuals: Iterable[Individual]) -> None:
        oldest_first = sorted(individuals, key=lambda i: i.age_key)
        front = update_front([], oldest_first, self._names)  # whatever the order of completion
        if {i.id for i in front} != set(self.members):
            self.members = {i.id: i for i in front}
            points = [individual.objectives for individual in front]
            self.hypervolume = front_hypervolume(self._objectives, points, self._reference)

    def _note_test_errors(self, individual: Individual, details: Mapping[str, Any]) -> None:
        further = {d.test_error: details["further"][d.name]["test_error"] for d in self._further}
        self._test_errors[individual.id] = {"test_error": details["test_error"], **further}
