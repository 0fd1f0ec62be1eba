"""The folder of a run: what a search writes, and what reports and resuming read.

    config.json        all settings; written first, so a folder without it holds no run
    history.jsonl      a line per evaluated child
    proposals.jsonl    a line per proposed child
    models/ID.h5       the networks of the population
    front.csv          the current Pareto front, a row a network
    plots/             pictures
    staging/ID.h5      networks that a worker is writing

Files appear whole or not at all, and the two lists only grow; a search that is killed leaves what
it had finished. One search at a time writes to a folder.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lemonade_tf import journal
from lemonade_tf.atomic import publish, write_atomic

CONFIG, HISTORY, PROPOSALS, FRONT = "config.json", "history.jsonl", "proposals.jsonl", "front.csv"
MODELS, STAGING, PLOTS = "models", "staging", "plots"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
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


class StoreError(RuntimeError):
    """The folder of a run cannot be used as asked; the message names the file."""


class RunStore:
    """The folder of one run; `create` and `open` make it.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(cls, workdir: str | os.PathLike[str], config: Mapping[str, Any]) -> RunStore:
        """Begin a run in a folder, which is made if need be.

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
        text = journal.dumps(config, indent=2)
        with _explained(store.path):
            for folder in (MODELS, STAGING):
                (store.path / folder).mkdir(parents=True, exist_ok=True)
        with _explained(store.path / CONFIG):
            write_atomic(store.path / CONFIG, f"{text}\n".encode())
        return store

    @classmethod
    def open(cls, workdir: str | os.PathLike[str]) -> RunStore:
        """Open the folder of a run.

        Raises:
            StoreError: If it holds no run.
        """
        path = Path(workdir)
        if not cls.holds_run(path):
            what = "holds no run" if path.is_dir() else "is not a folder"
            raise StoreError(f"{path} {what}; expected the --workdir of a search, with {CONFIG}.")
        return cls(path)

    @staticmethod
    def holds_run(workdir: str | os.PathLike[str]) -> bool:
        """Whether a folder holds a run that can be opened."""
        return (Path(workdir) / CONFIG).is_file()

    def read_config(self) -> dict[str, Any]:
        """Return the settings.

        Raises:
            StoreError: If the file is damaged.
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
        return config

    # The lists

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

    def _append(self, name: str, records: Iterable[journal.Record]) -> None:
        with _explained(self.path / name):
            journal.append(self.path / name, records)

    def _read(self, name: str) -> list[dict[str, Any]]:
        with _explained(self.path / name):
            try:
                return journal.read(self.path / name)
            except journal.JournalError as error:
                raise StoreError(f"{error}; restore it, or delete that line.") from error

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
        """Return where to write a network that is to be adopted."""
        return self.path / STAGING / f"{_checked(id_)}.h5"

    def adopt_model(self, id_: str) -> Path:
        """Move a network that was written to its staging path among the models.

        Raises:
            StoreError: If it is not there, or cannot be moved.
        """
        source, target = self.staging_path(id_), self.model_path(id_)
        with _explained(target):
            try:
                publish(source, target)
            except FileNotFoundError as error:
                raise StoreError(
                    f"The network {id_} cannot be kept: {error.filename} is not there. Leave the "
                    "folder alone while a search runs."
                ) from error
        return target

    def keep_models(self, ids: Iterable[str]) -> None:
        """Remove the networks that are not among those given."""
        kept = {self.model_path(id_) for id_ in ids}
        with _explained(self.path / MODELS):
            for path in (self.path / MODELS).glob("*.h5"):
                if path not in kept:
                    path.unlink(missing_ok=True)

    def clear_staging(self) -> None:
        """Remove what workers left unfinished; only when none is running."""
        folder = self.path / STAGING
        with _explained(folder):
            folder.mkdir(exist_ok=True)
            for path in folder.iterdir():
                path.unlink()

    # The front

    def write_front(self, rows: Iterable[Mapping[str, Any]], objectives: Sequence[str]) -> None:
        """Write the Pareto front.

        Args:
            rows: For each network, its `id`, each objective by its name, and `test_error`, which
                may be None or left out. Anything else is left out.
            objectives: The names of the objectives, in the order of the columns.

        Raises:
            StoreError: If it cannot be written; the front before stays.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["id", "file", *objectives, "test_error"])
        for row in rows:
            file = self.model_path(row["id"]).relative_to(self.path).as_posix()
            values = [row[name] for name in objectives]
            writer.writerow([row["id"], file, *values, row.get("test_error")])
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


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what to do when a file cannot be used."""
    try:
        yield
    except OSError as error:
        mend = _MENDS.get(error.errno, "see to it, or choose another --workdir")
        raise StoreError(f"{path}: {error.strerror or error}; {mend}.") from error
