"""A list of records in the folder of a run, one line each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

from lemonade_tf.store import journal
from lemonade_tf.store.atomic import replacing
from lemonade_tf.store.disk_errors import StoreError, explained
from lemonade_tf.store.record import Record, RecordError

R = TypeVar("R", bound=Record)


class RecordList(Generic[R]):
    """A list of records in the folder of a run. It only grows; no record ever changes.

    Args:
        path: Its file; without one, the list is empty.
        kind: The class of its records.
        key: A text that the checksums of the lines depend on.
    """

    def __init__(self, path: Path, kind: type[R], key: str) -> None:
        self.path, self._kind, self._key = path, kind, key

    def append(self, records: Iterable[R]) -> None:
        """Append records, all or none, and flush them to disk.

        Raises:
            StoreError: If they cannot be written; the list is unchanged then.
            ValueError: If a record is not JSON, for instance because of a NaN.
        """
        with explained(self.path):
            journal.append(self.path, records, self._key)

    def replace(self, records: Iterable[R]) -> None:
        """Replace the whole list.

        Raises:
            StoreError: If it cannot be written; the list is unchanged then.
            ValueError: If a record is not JSON, for instance because of a NaN.
        """
        with explained(self.path), replacing(self.path) as unfinished:
            unfinished.touch()
            journal.append(unfinished, records, self._key)

    def read(self, *, growing: bool = False) -> list[R]:
        """Return the records in the order in which they were appended.

        Args:
            growing: Whether another process may be appending: an incomplete last line is then no
                reason for a warning.

        Raises:
            StoreError: If a line is damaged, or has unknown or missing keys. An incomplete last
                line is left out.
        """
        with explained(self.path):
            try:
                lines = journal.read(self.path, self._key, growing=growing)
            except journal.JournalError as error:
                raise StoreError(f"{error}; restore the file.") from error
        records = []
        # The checksums are correct, so another version of the package wrote a line with other keys.
        for number, line in enumerate(lines, start=1):
            try:
                records.append(self._kind.from_json(line))
            except RecordError as error:
                raise StoreError(
                    f"{self.path}, line {number}, {error}; restore the file, or use the version of"
                    " lemonade_tf that wrote it."
                ) from error
        return records
