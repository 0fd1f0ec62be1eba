"""A network of a previous run, or of the user, that an initial network starts from."""

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
    """Describe an initial network that comes from a previous run, or from the user.

    Attributes:
        id: Its id in the previous run, or the name of the user's file.
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
                f"{path} is missing or has changed since the search started (--initial_run,"
                " --initial_models); restore it, or start another search."
            )

    def as_record(self, workdir: Path) -> InitialRecord:
        """Return its record in initial.jsonl; a file in the run folder may move with it."""
        path, folder = Path(self.path), workdir.absolute()
        stored = path.relative_to(folder) if path.is_relative_to(folder) else path
        return InitialRecord(self.id, stored.as_posix(), self.file, to_json(self.graph))

    @classmethod
    def from_record(cls, record: InitialRecord, workdir: Path) -> WarmStartNetwork:
        """Return the network of a record in initial.jsonl."""
        path = str(workdir.absolute() / record.path)
        return cls(record.id, path, record.file, from_json(record.architecture))
