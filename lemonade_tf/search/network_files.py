"""Keep the network files that a search needs, and check those from before it was resumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lemonade_tf.datasets.names import file_id
from lemonade_tf.store import FileRecord, NetworkRecord, RunStore


class NetworkFiles:
    """Manages the files of a search's networks, on all of its data sets.

    Args:
        store: The run folder.
        extra_datasets: The names of the data sets after the first.
        recorded: The networks recorded before the search was resumed, by id. Their files are
            checked before they are used.
    """

    def __init__(
        self, store: RunStore, extra_datasets: Sequence[str], recorded: Mapping[str, NetworkRecord]
    ) -> None:
        self._models, self._extra, self._recorded = store.models, extra_datasets, recorded
        self._unchecked = {id_ for id_, record in recorded.items() if record.failure is None}
        self._num_children: Counter[str] = Counter()  # still to be trained, by parent
        self._unsettled: set[str] = set()

    def check(self, id_: str) -> None:
        """Check the files of a network recorded before the search was resumed, once.

        Raises:
            StoreError: If a file is missing, or differs from its record.
        """
        if id_ not in self._unchecked:
            return
        for name, file in _files_of(self._recorded[id_]).items():
            self._models.check(file_id(id_, name), file)
        self._unchecked.discard(id_)

    def adopt(self, id_: str) -> dict[str | None, FileRecord]:
        """Move the files that a worker wrote to the models, and keep them until `settle`.

        Returns:
            Their sizes and checksums, by data set; None for the first one, which comes last.

        Raises:
            StoreError: If a file is missing, or cannot be moved.
        """
        self._unsettled.add(id_)
        return {name: self._models.adopt(file_id(id_, name)) for name in (*self._extra, None)}

    def settle(self, id_: str) -> None:
        """Mark a network as recorded; from now on, the front decides whether its files are kept."""
        self._unsettled.discard(id_)

    def expect(self, parents: Iterable[str | None]) -> None:
        """Keep the files of the parents of children that will be trained; None is ignored."""
        self._num_children = Counter(parent for parent in parents if parent is not None)

    def expect_child(self, parent: str | None) -> None:
        """Keep the files of the parent of one more child; None is ignored."""
        if parent is not None:
            self._num_children[parent] += 1

    def done(self, parent: str | None) -> None:
        """Mark one child of a parent as trained; None is ignored."""
        if parent is not None:
            self._num_children[parent] -= 1

    def discard(self, needed: Iterable[str]) -> None:
        """Remove the files of networks neither needed nor a parent of a pending child."""
        self._models.keep({*needed, *(+self._num_children), *self._unsettled}, self._extra)


def _files_of(record: NetworkRecord) -> dict[str | None, FileRecord]:
    """Return the recorded files of a network, by data set; None for the first one."""
    extra = {name: each.file for name, each in record.extra_datasets.items()}
    return {name: file for name, file in {None: record.file, **extra}.items() if file is not None}
