"""A list in the folder of a run: a line for each record."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lemonade_tf.store import journal
from lemonade_tf.store.atomic import replacing
from lemonade_tf.store.disk_errors import StoreError, explained


class RecordList:
    """A list in the folder of a run; it only grows, and what was appended stays.

    Args:
        path: Its file, which need not be there: the list is empty then.
        key: What the checksums of its lines depend on; None for a list that was made by other
            means, whose lines need none.
    """

    def __init__(self, path: Path, key: str | None) -> None:
        self.path, self._key = path, key

    def append(self, records: Iterable[journal.Record]) -> None:
        """Add records, all or none; on disk when this returns.

        Raises:
            StoreError: If they cannot be written; the list is then as it was.
            ValueError: If a record is not JSON, for instance as it holds NaN.
        """
        with explained(self.path):
            journal.append(self.path, records, self._key or "")

    def replace(self, records: Iterable[journal.Record]) -> None:
        """Write the list anew.

        Raises:
            StoreError: If it cannot be written; the list before stays.
            ValueError: If a record is not JSON, for instance as it holds NaN.
        """
        with explained(self.path), replacing(self.path) as unfinished:
            unfinished.touch()
            journal.append(unfinished, records, self._key or "")

    def read(self, *, growing: bool = False) -> list[dict[str, Any]]:
        """Return the records, in the order in which they were added.

        Args:
            growing: Whether another process may be appending, so that a last line without an end
                is nothing to warn of.

        Raises:
            StoreError: If the file is damaged. A last line that was cut short is left out only.
        """
        with explained(self.path):
            try:
                return journal.read(self.path, self._key, growing=growing)
            except journal.JournalError as error:
                raise StoreError(f"{error}; restore the file.") from error
