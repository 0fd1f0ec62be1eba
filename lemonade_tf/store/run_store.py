"""The folder of a run: written by a search, read by reports and when a search is resumed.

    initial.jsonl      the networks of a previous run that the search started from, if it did
    config.json        all settings; written before the files below: without it, there is no run
    history.jsonl      one line per trained network
    proposals.jsonl    one line per proposed child
    models/ID.h5       the networks of the population, and the pinned ones
    models/ID.NAME.h5  the same networks, trained on the extra data set NAME
    measurements.jsonl one line per measured time or size of a network of the front
    front.csv          the current Pareto front, one row per network
    pinned.txt         ids of networks whose files are kept, one per line
    plots/             figures
    staging/           networks that a worker is writing

Files appear complete or not at all, and the lists are append-only: a search that is killed loses
nothing that it had finished. One search at a time writes to a folder; it holds a lock on it, which
the system releases when the process ends for any reason.

config.json has a checksum and a random `run_id`; every line of a list has a checksum that depends
on this id, and the lines of history.jsonl have the checksums of the network files. So damage, and
files that belong to another run, are detected.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from lemonade_tf.errors import quoted, resume_command
from lemonade_tf.safe_json import read_json
from lemonade_tf.store import journal
from lemonade_tf.store.atomic import make_folder, write_atomic
from lemonade_tf.store.disk_errors import StoreError, explained
from lemonade_tf.store.file_names import (
    ALL,
    CONFIG,
    FRONT,
    HISTORY,
    INITIAL,
    MEASUREMENTS,
    PLOTS,
    PROPOSALS,
)
from lemonade_tf.store.locks import FolderLock, lock_folder
from lemonade_tf.store.model_files import ModelFiles
from lemonade_tf.store.record import Record, RecordError
from lemonade_tf.store.record_list import RecordList
from lemonade_tf.store.records import (
    FrontRow,
    InitialRecord,
    MeasurementRecord,
    NetworkRecord,
    ProposalRecord,
)
from lemonade_tf.store.run_config import RunConfig

FORMAT = 2  # of the keys and values in the files of a run
_FORMAT, _RUN_ID = "format", "run_id"  # keys of config.json
R = TypeVar("R", bound=Record)


class RunStore:
    """The folder of one run; `create` and `open` return it.

    Attributes:
        path: The folder.
        models: The files of its networks.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.models = path, ModelFiles(path)
        self._run_id = ""
        self._lock = FolderLock(path)

    @classmethod
    def create(
        cls,
        workdir: str | os.PathLike[str],
        config: RunConfig,
        initial: Sequence[InitialRecord] = (),
    ) -> RunStore:
        """Start a run in a folder, which is created if necessary, and lock it.

        The folder may hold other files; only those of a run are ever touched.

        Args:
            workdir: The folder.
            config: The contents of config.json.
            initial: The networks of a previous run that the search starts from, if it does. They
                are on disk before config.json is.

        Raises:
            StoreError: If the folder already holds a run, or cannot be written to.
            ValueError: If the config is not JSON.
        """
        cls.check_vacant(workdir)
        store = cls(Path(workdir))
        journal.dumps(config)  # raises before anything is created
        store.models.make_folders()
        store.lock()
        try:
            cls.check_vacant(workdir)  # another search may have started and ended meanwhile
            store._run_id = uuid.uuid4().hex
            store._write_initial(initial)
            store.write_config(config)
        except BaseException:
            store.release()
            raise
        return store

    @staticmethod
    def check_vacant(workdir: str | os.PathLike[str]) -> None:
        """Check that a folder, which need not exist, holds no run.

        Raises:
            StoreError: If it does.
        """
        for name in (CONFIG, HISTORY):
            if (Path(workdir) / name).exists():
                raise StoreError(
                    f"{Path(workdir)} already holds a run ({name}); choose another --workdir, or"
                    f" continue that run with {resume_command(workdir)}"
                )

    @classmethod
    def open(cls, workdir: str | os.PathLike[str]) -> RunStore:
        """Open the folder of a run.

        Raises:
            StoreError: If it holds no run or one of another format, config.json is damaged, or a
                file or folder in it is a link.
        """
        path = Path(workdir)
        if not cls.holds_run(path):
            what = "holds no run" if path.is_dir() else "is not a folder"
            raise StoreError(f"{path} {what}; expected the --workdir of a search, with {CONFIG}.")
        for link in filter(os.path.islink, _files_of_run(path)):
            raise StoreError(
                f"{link} is a link to another place, where files could be overwritten or removed;"
                " expected a run folder without links. Replace it by the files."
            )
        store = cls(path)
        store._run_id = store._read_config()[_RUN_ID]
        return store

    @staticmethod
    def holds_run(workdir: str | os.PathLike[str]) -> bool:
        """Return whether a folder holds a run that can be opened."""
        return (Path(workdir) / CONFIG).is_file()

    @property
    def run_id(self) -> str:
        """The random id of the run, in config.json."""
        return self._run_id

    # --- One search at a time ---

    def lock(self) -> None:
        """Keep every other process from writing to the folder, until `release` or the end.

        Raises:
            StoreError: If another process does so, or the file system has no locks.
        """
        self._lock.acquire()

    def release(self) -> None:
        """Release the lock, if there is one."""
        self._lock.release()

    def is_locked(self) -> bool:
        """Return whether a search is writing to the folder now.

        Raises:
            StoreError: If the folder cannot be opened, or its file system has no locks.
        """
        descriptor = lock_folder(self.path, shared=True)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def remove(self) -> None:
        """Remove the files of a run in which nothing was trained, and its folder if it is empty."""
        for path in (self.path / name for name in ALL):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()
        with suppress(OSError):
            self.path.rmdir()

    # --- config.json ---

    def read_config(self) -> RunConfig:
        """Return the contents of config.json.

        Raises:
            StoreError: If the file is damaged, of another format, or was edited.
        """
        values = self._read_config()
        del values[_FORMAT], values[_RUN_ID]
        try:
            return RunConfig.from_json(values)
        except RecordError as error:
            raise StoreError(f"{self.path / CONFIG} {error}; restore it.") from error

    def _read_config(self) -> dict[str, Any]:
        path = self.path / CONFIG
        with explained(path):
            data = path.read_bytes()
        try:
            values = read_json(data)
        except ValueError as error:
            raise StoreError(f"{path} is not JSON ({quoted(error)}); restore it.") from error
        if not isinstance(values, dict):
            raise StoreError(f"{path} is not a JSON object; restore it.")
        found = values.get(_FORMAT, 1)
        if found != FORMAT:
            raise StoreError(
                f"{self.path} is a run folder of format {quoted(found)}; expected format {FORMAT}."
                " Use the"
                " version of lemonade_tf that wrote it, or choose another --workdir."
            )
        checksum = values.pop(journal.CHECKSUM, None)
        if not isinstance(values.get(_RUN_ID), str) or checksum != _checksum(values):
            raise StoreError(
                f"{path} was edited or damaged: its checksum does not match; restore it. (To change"
                " a setting of a run, pass it as an option together with --resume.)"
            )
        return values

    def write_config(self, config: RunConfig) -> None:
        """Write or replace config.json.

        Raises:
            StoreError: If it cannot be written; the file is unchanged then.
            ValueError: If the config is not JSON.
        """
        values = {_FORMAT: FORMAT, _RUN_ID: self._run_id, **config.as_json()}
        text = journal.dumps({**values, journal.CHECKSUM: _checksum(values)}, indent=2)
        with explained(self.path / CONFIG):
            write_atomic(self.path / CONFIG, f"{text}\n".encode())

    # --- The lists ---

    @property
    def initial(self) -> RecordList[InitialRecord]:
        """The networks of a previous run that the search starts from; empty without one."""
        return self._list(INITIAL, InitialRecord)

    @property
    def history(self) -> RecordList[NetworkRecord]:
        """The trained and the failed networks, in order of completion."""
        return self._list(HISTORY, NetworkRecord)

    @property
    def proposals(self) -> RecordList[ProposalRecord]:
        """The proposed children."""
        return self._list(PROPOSALS, ProposalRecord)

    @property
    def measurements(self) -> RecordList[MeasurementRecord]:
        """The measured inference times."""
        return self._list(MEASUREMENTS, MeasurementRecord)

    def _list(self, name: str, kind: type[R]) -> RecordList[R]:
        return RecordList(self.path / name, kind, self._run_id)

    def _write_initial(self, records: Sequence[InitialRecord]) -> None:
        if records:
            self.initial.replace(records)
        else:  # a search that was killed before it wrote config.json may have left one
            with explained(self.initial.path):
                self.initial.path.unlink(missing_ok=True)

    # --- The networks ---

    def find_model(self, id_: str) -> Path:
        """Return the path of the file of a network that has one.

        Raises:
            StoreError: If there is no such file; the message says whether there was.
        """
        with self._explained_absence([id_]):
            return self.models.find(id_)

    def pin(self, ids: Sequence[str]) -> None:
        """Keep the files of networks even if these leave the front; see `ModelFiles.pin`.

        Raises:
            StoreError: If one of them has no file; the message says whether it had.
        """
        with self._explained_absence(ids):
            self.models.pin(ids)

    @contextmanager
    def _explained_absence(self, ids: Iterable[str]) -> Iterator[None]:
        """Explain why a network that was trained has no file any more.

        Raises:
            StoreError: If the body raises one.
        """
        try:
            yield
        except StoreError as error:
            recorded = {record.id: record for record in self.history.read(growing=True)}
            for id_ in ids:
                record = recorded.get(id_)
                if record is None or self.models.path(id_).is_file():
                    continue
                if record.failure is not None:
                    raise StoreError(
                        f"network {id_} has no file, because its training failed: {record.failure}"
                    ) from error
                raise StoreError(
                    f"network {id_} was trained, but its file is gone: the files of networks that"
                    " leave the front are removed. Pin networks while they are on the front, or"
                    " search with --keep_all."
                ) from error
            raise

    # --- Figures and the front ---

    def plot_path(self, name: str) -> Path:
        """Return the path of a figure, in a folder that is created if necessary.

        Raises:
            StoreError: If it cannot be created.
        """
        folder = self.path / PLOTS
        with explained(folder):
            folder.mkdir(exist_ok=True)
        return folder / name

    def front_row(self, record: NetworkRecord) -> FrontRow:
        """Return the row of front.csv of a network."""
        file = self.models.path(record.id).relative_to(self.path).as_posix()
        return FrontRow(record.id, file, record.objectives, record.test_errors)

    def write_front(self, rows: Iterable[FrontRow], columns: Sequence[str]) -> None:
        """Write front.csv.

        Args:
            rows: One per network.
            columns: Those after "id" and "file", for a front without networks.

        Raises:
            StoreError: If it cannot be written; the file is unchanged then.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, ["id", "file", *columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row.as_columns() for row in rows)
        with explained(self.path / FRONT):
            write_atomic(self.path / FRONT, text.getvalue().encode())


def _files_of_run(path: Path) -> Iterator[str]:
    """Yield everything in the folder of a run that a command may read, write or remove."""
    for name in ALL:
        yield os.path.join(path, name)
        for folder, folders, files in os.walk(os.path.join(path, name)):  # does not follow links
            yield from (os.path.join(folder, each) for each in (*folders, *files))


def make_new_folder(path: Path) -> bool:
    """Create a folder; return whether this process, and no other, created it.

    Raises:
        StoreError: If it cannot be created.
    """
    with explained(path):
        try:
            make_folder(path, exist_ok=False)
        except FileExistsError:
            return False
    return True


def _checksum(config: Mapping[str, Any]) -> str:
    return journal.checksum(journal.dumps(config, sort_keys=True).encode())
