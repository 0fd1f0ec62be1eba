"""The Pareto front of a running search: its networks, its hypervolume, front.csv."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.runs.front import front_of
from lemonade_tf.runs.quality import front_hypervolume
from lemonade_tf.store import FrontRow, NetworkRecord, RunStore


class Front:
    """The non-dominated networks so far, kept in front.csv.

    Args:
        store: The run folder.
        objectives: The objectives of the run.
        reference_point: The reference point of the hypervolume, by objective.
        test_errors: The columns of front.csv after the objectives.

    Attributes:
        members: The networks by id, sorted by the first cheap objective.
        hypervolume: The hypervolume of the front.
    """

    def __init__(
        self,
        store: RunStore,
        objectives: Sequence[Objective],
        reference_point: Mapping[str, float],
        test_errors: Sequence[str] = ("test_error",),
    ) -> None:
        self.members: dict[str, NetworkRecord] = {}
        self.hypervolume = 0.0
        self._store, self._objectives, self._reference = store, objectives, reference_point
        self._columns = [*(objective.name for objective in objectives), *test_errors]

    def add(self, records: Iterable[NetworkRecord]) -> bool:
        """Add networks that were trained without failure, unless they are dominated.

        Returns:
            Whether the front changed.
        """
        front = front_of([*self.members.values(), *records], self._objectives)
        members = {record.id: record for record in front}
        changed = members.keys() != self.members.keys()
        if changed:
            self.members = members
            points = [record.objectives for record in front]
            self.hypervolume = front_hypervolume(self._objectives, points, self._reference)
        return changed

    def write(self) -> None:
        """Write front.csv.

        Raises:
            StoreError: If it cannot be written; the file is unchanged then.
        """
        self._store.write_front(self.rows(), self._columns)

    def rows(self) -> list[FrontRow]:
        """Return the rows of front.csv, sorted by the first cheap objective."""
        return [self._store.front_row(record) for record in self.members.values()]
