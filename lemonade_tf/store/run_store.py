"""The folder of a run: what a search writes, and what reports and resuming read.

    initial.jsonl      the networks of another run that the search began with, if it did
    config.json        all settings; before what follows, so a folder without it holds no run
    history.jsonl      a line per evaluated child
    proposals.jsonl    a line per proposed child
    models/ID.h5       the networks of the population, and those that are pinned
    models/ID.NAME.h5  the same, trained on a further data set
    measurements.jsonl a line for each inference time of a network of the front that was measured
    front.csv          the current Pareto front, a row a network
    pinned.txt         ids of networks whose file is to be kept, a line each
    plots/             pictures
    staging/           networks that a worker is writing

Files appear whole or not at all, and the two lists only grow; a search that is killed leaves what
it had finished. One search at a time writes to a folder: it holds a lock on it, which the system
takes from it when it ends, in whatever way.

The settings and every line carry checksums, the lines one that depends on the run (`run` in
config.json), and a line of the history has those of the network's files: what was damaged, or comes
from elsewhere, is found out. A folder whose config.json has no `run` was made by other means; it
can be read, without such checks, but not gone on with.
"""

from __future__ import annotations

import csv
import io
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lemonade_tf.store import journal
from lemonade_tf.store.atomic import write_atomic
from lemonade_tf.store.disk_errors import StoreError, explained
from lemonade_tf.store.file_names import (
    CONFIG,
    FRONT,
    HISTORY,
    IDENTITY,
    INITIAL,
    MEASUREMENTS,
    PLOTS,
    PROPOSALS,
)
from lemonade_tf.store.locks import lock_folder
from lemonade_tf.store.model_files import ModelFiles
from lemonade_tf.store.record_list import RecordList

_PATIENCE = 0.5  # seconds to wait for a lock


class RunStore:
    """The folder of one run; `create` and `open` make it.

    Attributes:
        path: The folder.
        models: The files of its networks.
    """

    def __init__(self, path: Path):
        self.path, self.models = path, ModelFiles(path)
        self._key: str | None = None
        self._lock: int | None = None

    @classmethod
    def create(
        cls,
        workdir: str | os.PathLike[str],
        config: Mapping[str, Any],
        initial: Sequence[Mapping[str, Any]] = (),
    ) -> RunStore:
        """Begin a run in a folder, which is made if need be, and lock it.

        The folder may hold other files; only those of a run are ever touched.

        Args:
            workdir: The folder.
            config: The settings.
            initial: What the search begins with, if not with its space's networks. It is there
                once there is a run.

        Raises:
            StoreError: If the folder holds a run already, or cannot be written to.
            ValueError: If the config is not JSON.
        """
        cls.check_vacant(workdir)
        store = cls(Path(workdir))
        journal.dumps(config)  # before anything is made
        store.models.make_folders()
        store.lock()
        try:
            cls.check_vacant(workdir)  # another search may have come and gone
            store._key = uuid.uuid4().hex
            store._write_initial(initial)
            store.write_config({**config, IDENTITY: store._key})
        except BaseException:
            store.release()
            raise
        return store

    @staticmethod
    def check_vacant(workdir: str | os.PathLike[str]) -> None:
        """Check that a folder, which need not be there, holds no run.

        Raises:
            StoreError: It does.
        """
        for name in (CONFIG, HISTORY):
            if (Path(workdir) / name).exists():
                raise StoreError(
                    f"{Path(workdir)} holds a run already ({name}); choose another --workdir, or go"
                    " on with it with --resume."
                )

    @classmethod
    def open(cls, workdir: str | os.PathLike[str]) -> RunStore:
        """Open the folder of a run.

        Raises:
            StoreError: If it holds no run, or config.json is damaged.
        """
        path = Path(workdir)
        if not cls.holds_run(path):
            what = "holds no run" if path.is_dir() else "is not a folder"
            raise StoreError(f"{path} {what}; expected the --workdir of a search, with {CONFIG}.")
        store = cls(path)
        store._key = store.read_config().get(IDENTITY)
        return store

    @staticmethod
    def holds_run(workdir: str | os.PathLike[str]) -> bool:
        """Whether a folder holds a run that can be opened."""
        return (Path(workdir) / CONFIG).is_file()

    @property
    def sealed(self) -> bool:
        """Whether the files carry checksums, as those that a search wrote do."""
        return self._key is not None

    # One search at a time

    def lock(self) -> None:
        """Keep every other process from writing to the folder, until `release` or the end.

        Raises:
            StoreError: If another process does so, or the file system has no locks.
        """
        # `is_locked`, of another process, has the lock for a moment.
        descriptor = lock_folder(self.path, seconds=_PATIENCE)
        if descriptor is None:
            raise StoreError(
                f"another search is writing to {self.path}; wait for its end, or end it."
            )
        self._lock = descriptor

    def release(self) -> None:
        """Give up the lock, if there is one."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_locked(self) -> bool:
        """Whether a search is writing to the folder now.

        Raises:
            StoreError: If the folder cannot be opened, or its file system has no locks.
        """
        descriptor = lock_folder(self.path, shared=True)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    # The settings

    def read_config(self) -> dict[str, Any]:
        """Return the settings.

        Raises:
            StoreError: If the file is damaged, or was changed by hand.
        """
        path = self.path / CONFIG
        with explained(path):
            data = path.read_bytes()
        try:
            config = json.loads(data)
        except ValueError as error:
            raise StoreError(f"{path} is not JSON ({error}); restore it.") from error
        if not isinstance(config, dict):
            raise StoreError(f"{path} is not a JSON object; restore it.")
        given = config.pop(journal.CHECKSUM, None)
        if (IDENTITY in config or given is not None) and given != _checksum(config):
            raise StoreError(
                f"{path} is not as it was written: its checksum does not fit; restore it. (To"
                " change a setting of a run, give it as an option with --resume.)"
            )
        return config

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Replace the settings, among which the run's identity has to be.

        Raises:
            StoreError: If they cannot be written; those before stay.
            ValueError: If they are not JSON.
        """
        plain = json.loads(journal.dumps(config))
        self._key = plain[IDENTITY]
        text = journal.dumps({**plain, journal.CHECKSUM: _checksum(plain)}, indent=2)
        with explained(self.path / CONFIG):
            write_atomic(self.path / CONFIG, f"{text}\n".encode())

    # The lists

    @property
    def initial(self) -> RecordList:
        """What the search begins with; nothing if with its space's networks."""
        return RecordList(self.path / INITIAL, self._key)

    @property
    def history(self) -> RecordList:
        """The evaluated children."""
        return RecordList(self.path / HISTORY, self._key)

    @property
    def proposals(self) -> RecordList:
        """The proposed children."""
        return RecordList(self.path / PROPOSALS, self._key)

    @property
    def measurements(self) -> RecordList:
        """The measured inference times."""
        return RecordList(self.path / MEASUREMENTS, self._key)

    def _write_initial(self, records: Sequence[Mapping[str, Any]]) -> None:
        if records:
            self.initial.replace(records)
        else:  # there may be one of a search that was killed before it had settings
            with explained(self.initial.path):
                self.initial.path.unlink(missing_ok=True)

    # Pictures

    def plot_path(self, name: str) -> Path:
        """Return where a picture lies, in a folder that is made if need be.

        Raises:
            StoreError: If it cannot be made.
        """
        folder = self.path / PLOTS
        with explained(folder):
            folder.mkdir(exist_ok=True)
        return folder / name

    # The front

    def write_front(
        self,
        rows: Iterable[Mapping[str, Any]],
        objectives: Sequence[str],
        further: Iterable[str] = (),
    ) -> None:
        """Write the Pareto front.

        Args:
            rows: For each network, its `id`, each objective by its name, and `test_error`, which
                may be None or left out. Anything else is left out.
            objectives: The names of the objectives, in the order of the columns.
            further: Columns after these, which may be left out in a row likewise.

        Raises:
            StoreError: If it cannot be written; the front before stays.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        last = ("test_error", *further)
        writer.writerow(["id", "file", *objectives, *last])
        for row in rows:
            file = self.models.path(row["id"]).relative_to(self.path).as_posix()
            values = [row[name] for name in objectives]
            writer.writerow([row["id"], file, *values, *map(row.get, last)])
        with explained(self.path / FRONT):
            write_atomic(self.path / FRONT, text.getvalue().encode())


def make_new_folder(path: Path) -> bool:
    """Make a folder; return whether it is new. Of several processes, it is new to one only.

    Raises:
        StoreError: If it cannot be made.
    """
    with explained(path):
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            return False
    return True


def _checksum(config: Mapping[str, Any]) -> str:
    return journal.checksum(journal.dumps(config, sort_keys=True).encode())
