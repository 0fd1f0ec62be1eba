"""The folder of a run: what a search writes, and what reports and resuming read.

    config.json        all settings; written first, so a folder without it holds no run
    initial.jsonl      the networks of another run that the search began with, if it did
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
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lemonade_tf import journal
from lemonade_tf.atomic import publish, replacing, write_atomic

CONFIG, HISTORY, PROPOSALS, FRONT = "config.json", "history.jsonl", "proposals.jsonl", "front.csv"
MEASUREMENTS = "measurements.jsonl"
INITIAL, MODELS, STAGING, PINNED = "initial.jsonl", "models", "staging", "pinned.txt"
PLOTS = "plots"
IDENTITY = "run"  # of config.json: tells a run from all others

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OF_A_SEARCH = re.compile(r"[0-9]+-[0-9]+")  # the ids that a search gives
_MENDS = {
    errno.ENOSPC: "free some space there, or choose another --workdir",
    errno.EDQUOT: "your quota is used up: delete something, or choose another --workdir",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "choose a --workdir that can be written to",
    errno.EACCES: "choose a --workdir that you may write to",
    errno.EPERM: "choose a --workdir that you may write to",
    errno.ENOTDIR: "choose a --workdir that is a folder",
    errno.EEXIST: "choose a --workdir that is a folder",
}
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class StoreError(RuntimeError):
    """The folder of a run cannot be used as asked; the message names the file."""


class RunStore:
    """The folder of one run; `create` and `open` make it.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path):
        self.path = path
        self._key: str | None = None
        self._lock: int | None = None

    @classmethod
    def create(cls, workdir: str | os.PathLike[str], config: Mapping[str, Any]) -> RunStore:
        """Begin a run in a folder, which is made if need be, and lock it.

        The folder may hold other files; only those of a run are ever touched.

        Raises:
            StoreError: If the folder holds a run already, or cannot be written to.
            ValueError: If the config is not JSON.
        """
        store = cls(Path(workdir))
        for name in (CONFIG, HISTORY):
            if (store.path / name).exists():
                raise StoreError(
                    f"{store.path} holds a run already ({name}); choose another --workdir, or go "
                    "on with it with --resume."
                )
        journal.dumps(config)  # before anything is made
        with _explained(store.path):
            for folder in (MODELS, STAGING):
                (store.path / folder).mkdir(parents=True, exist_ok=True)
        store.lock()
        store.write_config({**config, IDENTITY: uuid.uuid4().hex})
        return store

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
            StoreError: If another process does so.
        """
        with _explained(self.path):
            descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StoreError(
                f"another search is writing to {self.path}; wait for its end, or end it."
            ) from None
        self._lock = descriptor

    def release(self) -> None:
        """Give up the lock, if there is one."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_locked(self) -> bool:
        """Whether a search is writing to the folder now."""
        try:
            self.lock()
        except StoreError:
            return True
        self.release()
        return False

    # The settings

    def read_config(self) -> dict[str, Any]:
        """Return the settings.

        Raises:
            StoreError: If the file is damaged, or was changed by hand.
        """
        path = self.path / CONFIG
        with _explained(path):
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
        with _explained(self.path / CONFIG):
            write_atomic(self.path / CONFIG, f"{text}\n".encode())

    # The lists

    def write_initial(self, records: Iterable[journal.Record]) -> None:
        """Write what the search begins with, if it does not begin with its space's networks.

        Raises:
            StoreError: If it cannot be written; there is no list then.
        """
        self._replace(INITIAL, records)

    def read_initial(self) -> list[dict[str, Any]]:
        """Return what the search begins with; nothing if with its space's networks.

        Raises:
            StoreError: If the file is damaged.
        """
        return self._read(INITIAL)

    def append_history(self, record: journal.Record) -> None:
        """Add an evaluated child; on disk when this returns.

        Raises:
            StoreError: If it cannot be written; the list is then as it was.
            ValueError: If the record is not JSON, for instance as it holds NaN.
        """
        self._append(HISTORY, [record])

    def append_proposals(self, records: Iterable[journal.Record]) -> None:
        """Add proposed children, all or none; on disk when this returns.

        Raises:
            StoreError: If they cannot be written; the list is then as it was.
            ValueError: If a record is not JSON, for instance as it holds NaN.
        """
        self._append(PROPOSALS, records)

    def read_history(self) -> list[dict[str, Any]]:
        """Return the evaluated children, in the order in which they were added.

        Raises:
            StoreError: If the file is damaged. A last line that was cut short is left out only.
        """
        return self._read(HISTORY)

    def read_proposals(self) -> list[dict[str, Any]]:
        """Return the proposed children, in the order in which they were added.

        Raises:
            StoreError: If the file is damaged. A last line that was cut short is left out only.
        """
        return self._read(PROPOSALS)

    def append_measurements(self, records: Iterable[journal.Record]) -> None:
        """Add measured inference times, all or none; on disk when this returns.

        Raises:
            StoreError: If they cannot be written; the list is then as it was.
            ValueError: If a record is not JSON, for instance as it holds NaN.
        """
        self._append(MEASUREMENTS, records)

    def read_measurements(self) -> list[dict[str, Any]]:
        """Return the measured inference times, in the order in which they were added.

        Raises:
            StoreError: If the file is damaged. A last line that was cut short is left out only.
        """
        return self._read(MEASUREMENTS)

    def replace_proposals(self, records: Iterable[journal.Record]) -> None:
        """Write the list of proposed children anew.

        Raises:
            StoreError: If it cannot be written; the list before stays.
        """
        self._replace(PROPOSALS, records)

    def _replace(self, name: str, records: Iterable[journal.Record]) -> None:
        path = self.path / name
        with _explained(path), replacing(path) as unfinished:
            unfinished.touch()
            journal.append(unfinished, records, self._key or "")

    def _append(self, name: str, records: Iterable[journal.Record]) -> None:
        with _explained(self.path / name):
            journal.append(self.path / name, records, self._key or "")

    def _read(self, name: str) -> list[dict[str, Any]]:
        with _explained(self.path / name):
            try:
                return journal.read(self.path / name, self._key)
            except journal.JournalError as error:
                raise StoreError(f"{error}; restore the file.") from error

    # The networks

    def model_path(self, id_: str) -> Path:
        """Return where a network of the population lies."""
        return self.path / MODELS / f"{_checked(id_)}.h5"

    def find_model(self, id_: str) -> Path:
        """Return the file of a network that is among the models.

        Raises:
            StoreError: If there is none of that id.
        """
        folder = self.path / MODELS
        found = {path.stem: path for path in folder.glob("*.h5") if _ID.fullmatch(path.stem)}
        if id_ not in found:
            known = ", ".join(sorted(found, key=lambda name: (len(name), name))) or "none"
            raise StoreError(f"there is no network {id_!r} in {folder}; known are {known}.")
        return found[id_]

    def plot_path(self, name: str) -> Path:
        """Return where a picture lies, in a folder that is made if need be.

        Raises:
            StoreError: If it cannot be made.
        """
        folder = self.path / PLOTS
        with _explained(folder):
            folder.mkdir(exist_ok=True)
        return folder / name

    def staging_path(self, id_: str) -> Path:
        """Return where to write a network that is to be adopted.

        No other process has the same place for it, as a worker of a search that was just killed
        may still be writing.
        """
        return self.path / STAGING / f"{_checked(id_)}.{os.getpid()}.h5"

    def adopt_model(self, id_: str) -> dict[str, Any]:
        """Move a network that was written to its staging path among the models.

        Returns:
            Its `bytes` and its `sha256`, to be kept on record, for `check_model`.

        Raises:
            StoreError: If it is not there, or cannot be moved.
        """
        source, target = self.staging_path(id_), self.model_path(id_)
        with _explained(target):
            try:
                described = describe_file(source)
                publish(source, target)
            except FileNotFoundError as error:
                raise StoreError(
                    f"The network {id_} cannot be kept: {error.filename} is not there. Leave the "
                    "folder alone while a search runs."
                ) from error
        return described

    def check_model(self, id_: str, described: Mapping[str, Any]) -> None:
        """Check that the file of a network is as it was adopted.

        Raises:
            StoreError: If it is not there, or another one.
        """
        path = self.model_path(id_)
        with _explained(path):
            try:
                found = describe_file(path)
            except FileNotFoundError:
                raise StoreError(f"{path} is not there; the search needs it: restore it.") from None
        if found != dict(described):
            raise StoreError(
                f"{path} is not the file that the search wrote: {found['bytes']:,} bytes, expected"
                f" {described['bytes']:,}, with the checksum in {HISTORY}; restore it."
            )

    def keep_models(self, ids: Iterable[str], further: Iterable[str] = ()) -> None:
        """Remove the networks that are neither among those given nor pinned.

        Args:
            ids: Those to keep.
            further: What the data sets after the first are called, whose files go with them.
        """
        kept = {*ids, *self.read_pinned()}
        names = ("", *(f".{name}" for name in further))
        with _explained(self.path / MODELS):
            for path in (self.path / MODELS).glob("*-*.h5"):
                id_, dot, name = path.stem.partition(".")
                of_a_search = _OF_A_SEARCH.fullmatch(id_) and f"{dot}{name}" in names
                if of_a_search and not {id_, path.stem} & kept and path.is_file():
                    path.unlink(missing_ok=True)

    def num_bytes(self) -> int:
        """Return how many bytes the files of the networks have."""
        with _explained(self.path / MODELS):
            return sum(path.stat().st_size for path in (self.path / MODELS).glob("*.h5"))

    def read_pinned(self) -> set[str]:
        """Return the ids of the networks whose file is to be kept."""
        path = self.path / PINNED
        with _explained(path):
            try:
                return {i for i in path.read_text().split() if _ID.fullmatch(i)}
            except FileNotFoundError:
                return set()
            except UnicodeDecodeError:
                raise StoreError(f"{path} is no text; expected ids, a line each.") from None

    def pin(self, ids: Iterable[str]) -> None:
        """Have the files of networks kept, whatever becomes of the front.

        Raises:
            StoreError: If one of them has no file; nothing is pinned then.
        """
        ids = list(ids)
        for id_ in ids:
            self.find_model(id_)
        lines = "".join(f"{id_}\n" for id_ in sorted({*self.read_pinned(), *ids}))
        with _explained(self.path / PINNED):
            write_atomic(self.path / PINNED, lines.encode())

    def clear_staging(self) -> None:
        """Remove what was left unfinished, by workers or by a search that was killed.

        Only when no worker is running.
        """
        folder = self.path / STAGING
        with _explained(folder):
            folder.mkdir(exist_ok=True)
            for path in [*folder.iterdir(), *self.path.glob(".*.unfinished*")]:
                if path.is_file():
                    path.unlink(missing_ok=True)

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
            file = self.model_path(row["id"]).relative_to(self.path).as_posix()
            values = [row[name] for name in objectives]
            writer.writerow([row["id"], file, *values, *map(row.get, last)])
        with _explained(self.path / FRONT):
            write_atomic(self.path / FRONT, text.getvalue().encode())


def _checked(id_: str) -> str:
    """Check that an id can be the name of a file."""
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise ValueError(
            f"The id {id_!r} cannot be the name of a file; expected up to 100 letters, digits, "
            "dots, dashes and underscores, such as '12-7'."
        )
    return id_


def _checksum(config: Mapping[str, Any]) -> str:
    return journal.checksum(journal.dumps(config, sort_keys=True).encode())


def describe_file(path: Path) -> dict[str, Any]:
    """Return the `bytes` and the `sha256` of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def disk_error(path: Path, number: int | None) -> StoreError | None:
    """Return the error that a disk that cannot be written to is; None if `number` is another's.

    Args:
        path: What was to be written.
        number: The errno.
    """
    return _described(path, number, os.strerror(number)) if number in _OF_THE_DISK else None


def _described(path: Path, number: int | None, words: str) -> StoreError:
    mend = _MENDS.get(number, "see to it, or choose another --workdir")
    return StoreError(f"{path}: {words}; {mend}.")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what to do when a file cannot be used."""
    try:
        yield
    except OSError as error:
        raise _described(path, error.errno, error.strerror or str(error)) from error
