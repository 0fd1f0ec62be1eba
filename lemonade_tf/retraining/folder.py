"""The folder of networks that are trained from scratch, in the folder of their run.

    RUN/retrained/settings.json      what all trainings in it depend on; written first
    RUN/retrained/ID.h5              the trained networks
    RUN/retrained/ID.checkpoint      from which an unfinished training goes on
    RUN/retrained/logs/              what the workers said
    RUN/retrained.jsonl              a line for each time that a network was finished, or failed
    RUN/retrained.csv                those that are finished, as a table

A network is finished once its line is written, and only then its checkpoint is removed: so
whatever ends the process, and when, what was done by then is not lost. One process at a time uses
a folder.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from lemonade_tf.errors import LemonadeError
from lemonade_tf.store import RecordList, RetrainedRecord, StoreError, journal, lock_folder
from lemonade_tf.store.atomic import write_atomic

FOLDER, RECORDS, TABLE, SETTINGS = "retrained", "retrained.jsonl", "retrained.csv", "settings.json"


class RetrainError(LemonadeError):
    """Networks cannot be retrained as asked; the message says why."""


class RetrainedFolder:
    """The folder of one run's retrained networks; a context, which no other process can be in.

    Args:
        run: The folder of the run.

    Attributes:
        path: The folder, which is made if need be.

    Raises:
        RetrainError: Another process is in it, or it cannot be made.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / FOLDER
        self._table = run / TABLE
        self._records = RecordList(run / RECORDS, RetrainedRecord, key="")
        self._settings: Mapping[str, Any] = {}
        self._recorded: list[RetrainedRecord] = []

    def __enter__(self) -> Self:
        with _explained(self.path):
            self.path.mkdir(exist_ok=True)
        try:
            descriptor = lock_folder(self.path)
        except StoreError as error:
            raise RetrainError(str(error)) from error
        if descriptor is None:
            raise RetrainError(
                f"another process is retraining networks in {self.path}; wait for its end."
            )
        self._descriptor = descriptor
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)  # and with it the lock, as the end of the process does

    def begin(self, settings: Mapping[str, Any], *, options: Collection[str] = ()) -> None:
        """Begin trainings, or go on with those that were begun with the same settings.

        Args:
            settings: All that the trained weights depend on beside the architecture; plain values.
            options: Those of them that are options of the command, and named so in the message.

        Raises:
            RetrainError: What is there was begun with other settings, or is damaged.
        """
        with _explained(self.path):
            for path in self.path.glob(".*.unfinished*"):  # of a process that was killed
                path.unlink(missing_ok=True)
            self._check(settings, options)
            write_atomic(self.path / SETTINGS, f"{journal.dumps(settings, indent=2)}\n".encode())
            self._settings = settings
            try:
                self._recorded = self._records.read()
            except StoreError as error:
                raise RetrainError(str(error)) from error
            for id_ in self.finished():
                self.checkpoint_path(id_).unlink(missing_ok=True)

    def _check(self, settings: Mapping[str, Any], options: Collection[str]) -> None:
        path = self.path / SETTINGS
        begun = any(file.suffix in (".h5", ".checkpoint") for file in self.path.iterdir())
        if not (begun and path.exists()):
            return
        try:
            before = dict(json.loads(path.read_bytes()))
        except (ValueError, TypeError) as error:
            raise RetrainError(f"{path} is damaged ({error}); restore it.") from error
        differing = [
            f"{'--' if name in options else ''}{name} {before.get(name)}, not {settings.get(name)}"
            for name in {**settings, **before}
            if before.get(name) != settings.get(name)
        ]
        if differing:
            raise RetrainError(
                f"{self.path} was begun with {', and with '.join(differing)}; give the same to go"
                " on, or remove that folder to begin anew."
            )

    # The networks

    def model_path(self, id_: str) -> Path:
        """Return where a trained network lies."""
        return self.path / f"{id_}.h5"

    def checkpoint_path(self, id_: str) -> Path:
        """Return where the checkpoint of an unfinished training lies."""
        return self.path / f"{id_}.checkpoint"

    def finished(self) -> dict[str, RetrainedRecord]:
        """Return the last record of each network that is finished, by id."""
        return {
            record.id: record
            for record in self._recorded
            if record.failure is None
            and record.settings == self._settings
            and self.model_path(record.id).is_file()
        }

    def add(self, record: RetrainedRecord) -> None:
        """Record a network that was finished (its `failure` is None), or failed.

        Raises:
            RetrainError: It cannot be written.
        """
        try:
            self._records.append([record])
        except StoreError as error:
            raise RetrainError(str(error)) from error
        self._recorded.append(record)
        if record.failure is None:
            with _explained(self.path):
                self.checkpoint_path(record.id).unlink(missing_ok=True)

    def write_table(self, objectives: Sequence[str]) -> list[dict[str, Any]]:
        """Write retrained.csv, and return its rows.

        Args:
            objectives: The names of the cheap objectives; the rows are sorted by the first.

        Raises:
            RetrainError: It cannot be written.
        """
        rows = [
            {
                "id": record.id,
                "file": f"{FOLDER}/{self.model_path(record.id).name}",
                **{name: record.objectives[name] for name in objectives},
                "search_test_error": record.search_test_error,
                "test_error": record.test_error,
            }
            for record in self.finished().values()
        ]
        rows.sort(key=lambda row: row[objectives[0]])
        text = io.StringIO()
        columns = ["id", "file", *objectives, "search_test_error", "test_error"]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with _explained(self._table):
            write_atomic(self._table, text.getvalue().encode())
        return rows


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say in one line which file cannot be used."""
    try:
        yield
    except OSError as error:
        raise RetrainError(
            f"{error.filename or path}: {error.strerror or error}; see to it, and give the same"
            " command to go on."
        ) from error
