"""A network of a previous run that an initial network starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.text import from_json, to_json
from lemonade_tf.store import FileRecord, InitialRecord, StoreError, describe_file


@dataclass(frozen=True)
class WarmStartNetwork:
    """Describe an initial network that comes from a previous run.

    Attributes:
        id: Its id in the previous run.
        path: Its file.
        file: The size and checksum of the file when the search started.
        graph: Its architecture for the new data; shapes only.
        operators: The operators that make the initial network from it, for limits that it exceeds.
    """

    id: str
    path: str
    file: FileRecord
    graph: Graph
    operators: tuple[Mapping[str, Any], ...] = ()

    def check(self) -> None:
        """Check that the file is unchanged since the search started.

        Raises:
            StoreError: If it is missing or has changed.
        """
        path = Path(self.path)
        if not path.is_file() or describe_file(path) != self.file:
            raise StoreError(
                f"{path} is missing or has changed since the search started (--initial_run);"
                " restore it, or start another search."
            )

    def as_record(self) -> InitialRecord:
        """Return its record in initial.jsonl."""
        return InitialRecord(self.id, self.path, self.file, to_json(self.graph))

    @classmethod
    def from_record(cls, record: InitialRecord) -> WarmStartNetwork:
        """Return the network of a record in initial.jsonl."""
        return cls(record.id, record.path, record.file, from_json(record.architecture))
