"""The folder of networks that are trained from scratch, inside the folder of their run.

    RUN/retrained/settings.json      all settings that the trained weights depend on
    RUN/retrained/ID.h5              trained networks
    RUN/retrained/ID.checkpoint      checkpoint of an unfinished training
    RUN/retrained/logs/              output of the workers
    RUN/retrained.jsonl              one line per network that was trained, or failed
    RUN/retrained.csv                the trained networks as a table

A network is finished once its line is written; only then is its checkpoint removed. So nothing is
lost, no matter when the process ends. One process at a time uses a folder.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.safe_json import read_json
from lemonade_tf.store import FolderLock, RecordList, RetrainedRecord, explained, journal
from lemonade_tf.store.atomic import make_folder, write_atomic

FOLDER, RECORDS, TABLE, SETTINGS = "retrained", "retrained.jsonl", "retrained.csv", "settings.json"


class RetrainError(LemonadeError):
    """Networks cannot be trained from scratch as requested."""


class RetrainedFolder:
    """The folder of the retrained networks of a run, as a context manager that locks it.

    Args:
        run: The run folder.
        settings: All settings that the trained weights depend on, as JSON values.
        options: Those of the settings that are options of the command, for error messages.

    Attributes:
        path: The folder, created on entry.

    Raises:
        RetrainError: On entry, if the folder was started with different settings.
        StoreError: On entry, if another process uses the folder, or it cannot be read or written.
    """

    def __init__(
        self, run: Path, settings: Mapping[str, Any], *, options: Collection[str] = ()
    ) -> None:
        self.path = run / FOLDER
        self._table = run / TABLE
        self._list = RecordList(run / RECORDS, RetrainedRecord, key="")
        self._settings, self._options = settings, options
        self._lock = FolderLock(self.path)
        self._records: list[RetrainedRecord] = []

    def __enter__(self) -> Self:
        with explained(self.path):
            make_folder(self.path)
        self._lock.acquire()
        try:
            self._start()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _start(self) -> None:
        """Check the settings, write them, and clean up after a process that was killed."""
        with explained(self.path):
            for path in self.path.glob(".*.unfinished*"):
                path.unlink(missing_ok=True)
            self._check_settings()
            text = f"{journal.dumps(self._settings, indent=2)}\n"
            write_atomic(self.path / SETTINGS, text.encode())
        self._records = self._list.read()
        for id_ in self.finished():
            self._remove_checkpoint(id_)

    def _check_settings(self) -> None:
        path = self.path / SETTINGS
        has_weights = any(file.suffix in (".h5", ".checkpoint") for file in self.path.iterdir())
        if not (has_weights and path.exists()):
            return
        try:
            before = read_json(path.read_bytes())
            if not isinstance(before, dict):
                raise ValueError("it is not an object")
        except ValueError as error:
            raise RetrainError(f"{path} is damaged ({quoted(error)}); restore it.") from error
        now = self._settings
        changed = [
            f"{'--' if name in self._options else ''}{name} was {quoted(before.get(name))}, now"
            f" {now.get(name)}"
            for name in {**now, **before}
            if before.get(name) != now.get(name)
        ]
        if changed:
            raise RetrainError(
                f"{self.path} was started with different settings: {'; '.join(changed)}. Use the"
                " same settings, or remove the folder to start over."
            )

    # --- The networks ---

    def model_path(self, id_: str) -> Path:
        """Return the path of a trained network."""
        return self.path / f"{id_}.h5"

    def checkpoint_path(self, id_: str) -> Path:
        """Return the path of the checkpoint of an unfinished training."""
        return self.path / f"{id_}.checkpoint"

    def finished(self) -> dict[str, RetrainedRecord]:
        """Return the last record of each finished network, by id."""
        return {
            record.id: record
            for record in self._records
            if record.failure is None
            and record.settings == self._settings
            and self.model_path(record.id).is_file()
        }

    def add(self, record: RetrainedRecord) -> None:
        """Record a network that was trained, or failed.

        Raises:
            StoreError: If the record cannot be written.
        """
        self._list.append([record])
        self._records.append(record)
        if record.failure is None:
            self._remove_checkpoint(record.id)

    def _remove_checkpoint(self, id_: str) -> None:
        with explained(self.path):
            self.checkpoint_path(id_).unlink(missing_ok=True)

    def write_table(self, objectives: Sequence[str]) -> list[dict[str, Any]]:
        """Write retrained.csv and return its rows.

        Args:
            objectives: Names of the cheap objectives; the rows are sorted by the first.

        Raises:
            StoreError: If the table cannot be written.
        """
        rows = [
            {
                "id": record.id,
                "file": f"{FOLDER}/{self.model_path(record.id).name}",
                **{name: record.objectives[name] for name in objectives},
                "search_test_error": record.search_test_error,
                "test_error": record.test_error,
                "test_top5_error": record.test_top5_error,
            }
            for record in self.finished().values()
        ]
        if all(row["test_top5_error"] is None for row in rows):
            for row in rows:
                del row["test_top5_error"]
        rows.sort(key=lambda row: row[objectives[0]])
        text = io.StringIO()
        columns = ["id", "file", *objectives, "search_test_error", "test_error"]
        columns = list(rows[0]) if rows else columns
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with explained(self._table):
            write_atomic(self._table, text.getvalue().encode())
        return rows
