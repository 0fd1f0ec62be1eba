"""The files of a search's networks: which are needed now, and whether they are what they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lemonade_tf.datasets.names import file_id
from lemonade_tf.store import FileRecord, NetworkRecord, RunStore


class NetworkFiles:
    """The files of a search's networks, on all of its data sets.

    Args:
        store: The run folder.
        further: What the data sets after the first are called.
        recorded: The networks from before the search was resumed, by id. Their files are checked
            before they are used.
    """

    def __init__(
        self, store: RunStore, further: Sequence[str], recorded: Mapping[str, NetworkRecord]
    ) -> None:
        self._models, self._further, self._recorded = store.models, further, recorded
        self._unchecked = {id_ for id_, record in recorded.items() if record.failure is None}
        self._needed: Counter[str] = Counter()
        self._unsettled: set[str] = set()

    def check(self, id_: str) -> None:
        """Check the files of a network that are from before the search was resumed, once.

        Raises:
            StoreError: One is not there, or another than was written.
        """
        if id_ in self._unchecked:
            for name, file in _files_of(self._recorded[id_]).items():
                self._models.check(file_id(id_, name), file)
            self._unchecked.discard(id_)

    def adopt(self, id_: str) -> dict[str | None, FileRecord]:
        """Move what a worker wrote among the models.

        Until it is recorded, the network counts for nothing, however many files it has; from then
        on it may be needed. So until it is settled which, its files stay, whatever happens.

        Returns:
            What is recorded of its files, by data set; None for the first one, which comes last.

        Raises:
            StoreError: A file is not there, or cannot be moved.
        """
        self._unsettled.add(id_)
        return {name: self._models.adopt(file_id(id_, name)) for name in (*self._further, None)}

    def settle(self, id_: str) -> None:
        """Note that a network is on record, and that the front tells whether it is needed."""
        self._unsettled.discard(id_)

    def expect(self, parents: Iterable[str | None]) -> None:
        """Note the parents of the children that are still to come; None is that of no child."""
        self._needed = Counter(parent for parent in parents if parent is not None)

    def done(self, parent: str | None) -> None:
        """Note that a child, whose parent this is, came."""
        if parent is not None:
            self._needed[parent] -= 1

    def discard(self, front: Iterable[str]) -> None:
        """Remove the files that nothing needs: neither the front, nor a child still to come."""
        self._models.keep({*front, *(+self._needed), *self._unsettled}, self._further)


def _files_of(record: NetworkRecord) -> dict[str | None, FileRecord | None]:
    extra = {name: each.file for name, each in record.extra_datasets.items()}
    return {None: record.file, **extra}
