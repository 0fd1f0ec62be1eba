"""The folder of a run.

    RUN/config.json        all settings, written once
    RUN/history.jsonl      append-only: a line an evaluated network
    RUN/proposals.jsonl    append-only: a line a proposed child
    RUN/models/ID.h5       the networks of the population
    RUN/front.csv          the current Pareto front, a row a network

Lines are appended and brought to the disk before anything is said of them; other files appear
whole or not at all. So a process that is killed loses nothing that it had reported, and at worst
leaves a torn last line, which reading drops.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lemonade_tf.atomic import sync, write_atomic

CONFIG, HISTORY, PROPOSALS, FRONT = "config.json", "history.jsonl", "proposals.jsonl", "front.csv"
MODELS, STAGING = "models", "staging"

_LOG = logging.getLogger(__name__)
_MENDS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.EACCES: "choose a folder that you may write",
    errno.EPERM: "choose a folder that you may write",
    errno.ENOTDIR: "choose a folder, not a file",
}


class StoreError(ValueError):
    """A run folder that cannot be made, read or written; the message names the file."""


class RunStore:
    """The folder of one run; `create` and `open` make it.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, workdir: str | os.PathLike[str], config: Mapping[str, Any]) -> RunStore:
        """Begin a run in a folder, which is made if it does not exist.

        Other files in the folder are left alone.

        Args:
            path: The folder.
            config: What config.json is to hold.

        Raises:
            StoreError: The folder holds a run already, or cannot be written.
        """
        store = cls(Path(workdir))
        held = [name for name in (CONFIG, HISTORY) if (store.path / name).exists()]
        if held:
            raise StoreError(
                f"{store.path} holds a run already ({held[0]}); choose another --workdir."
            )
        with _explained(store.path):
            for folder in (store.path, store.path / MODELS, store.path / STAGING):
                folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(config, indent=2, allow_nan=False) + "\n"
        with _explained(store.path / CONFIG):
            write_atomic(store.path / CONFIG, text.encode())
        return store

    @classmethod
    def open(cls, workdir: str | os.PathLike[str]) -> RunStore:
        """Return the store of a folder that holds a run.

        Raises:
            StoreError: It holds none.
        """
        path = Path(workdir)
        if not (path / CONFIG).is_file():
            what = "has no config.json" if path.is_dir() else "is not a folder"
            raise StoreError(f"{path} {what}; give the folder of a run.")
        return cls(path)

    # --- What is known -----------------------------------------------------------------------

    def read_config(self) -> dict[str, Any]:
        """Return the contents of config.json."""
        path = self.path / CONFIG
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read: {error}.") from None
        if not isinstance(content, dict):
            raise StoreError(f"{path} holds no settings; the run cannot be used.")
        return content

    def append_history(self, record: Mapping[str, Any]) -> None:
        """Add the line of an evaluated network."""
        self._append(HISTORY, [record])

    def append_proposals(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add the lines of proposed children."""
        self._append(PROPOSALS, records)

    def read_history(self) -> list[dict[str, Any]]:
        """Return the lines of history.jsonl, oldest first; none if there is no such file."""
        return self._read(HISTORY)

    def read_proposals(self) -> list[dict[str, Any]]:
        """Return the lines of proposals.jsonl, oldest first; none if there is no such file."""
        return self._read(PROPOSALS)

    def _append(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        lines = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records)
        with _explained(self.path / name), open(self.path / name, "ab", buffering=0) as file:
            content = lines.encode()
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())

    def _read(self, name: str) -> list[dict[str, Any]]:
        path = self.path / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}.") from None
        *lines, torn = content.split(b"\n")
        if torn:
            _LOG.warning("%s: dropped a last line that was not written to its end.", path)
        return [_parse(path, number, line) for number, line in enumerate(lines, 1)]

    # --- Networks ----------------------------------------------------------------------------

    def model_path(self, name: str) -> Path:
        """Return where the file of a network is, or would be."""
        return self.path / MODELS / f"{_checked(name)}.h5"

    def staging_path(self, name: str) -> Path:
        """Return where a worker writes the file of a network, before it is adopted."""
        return self.path / STAGING / f"{_checked(name)}.h5"

    def adopt_model(self, name: str) -> Path:
        """Take a network's file from where a worker wrote it into the run; return its path."""
        target = self.model_path(name)
        with _explained(target):
            os.replace(self.staging_path(name), target)
            sync(target.parent)
        return target

    def keep_models(self, names: Iterable[str]) -> None:
        """Remove the files of all networks but these, and what workers left behind."""
        kept = {f"{name}.h5" for name in names}
        for folder, keep in ((MODELS, kept), (STAGING, set())):
            with _explained(self.path / folder):
                for path in (self.path / folder).iterdir():
                    if path.name not in keep and path.is_file():
                        path.unlink(missing_ok=True)

    # --- The front ---------------------------------------------------------------------------

    def write_front(self, rows: Iterable[Mapping[str, Any]], objectives: Sequence[str]) -> None:
        """Write front.csv: columns id, file, one for each objective, test_error."""
        text = io.StringIO()
        columns = ["id", "file", *objectives, "test_error"]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with _explained(self.path / FRONT):
            write_atomic(self.path / FRONT, text.getvalue().encode())


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"{name!r} cannot be the id of a network, which names its file; expected letters,"
            " digits, '.', '_' and '-'."
        )
    return name


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise StoreError(
            f"{path}, line {number}, is damaged: {line[:60]!r}; restore it or remove the line."
        )
    return content


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say which file could not be written, and what to do."""
    try:
        yield
    except OSError as error:
        mend = _MENDS.get(error.errno or 0)
        told = f"; {mend}" if mend else ""
        what = error.strerror or type(error).__name__
        raise StoreError(f"{path} cannot be written: {what.lower()}{told}.") from error
