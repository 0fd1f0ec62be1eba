"""The files of a run's networks: those that are kept, and those that a worker is writing."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lemonade_tf.store.atomic import publish, write_atomic
from lemonade_tf.store.disk_errors import StoreError, explained
from lemonade_tf.store.file_names import HISTORY, MODELS, PINNED, STAGING
from lemonade_tf.store.locks import lock_folder
from lemonade_tf.store.network_ids import is_network_id
from lemonade_tf.store.records import FileRecord

_PATIENCE = 10.0  # seconds to wait for the lock of the list of pinned networks
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_WRITER = re.compile(r"\.([0-9]+)\.(?:unfinished|h5)")  # its process id


class ModelFiles:
    """The files of a run's networks.

    Args:
        run: The folder of the run.

    Attributes:
        folder: Where the networks lie.
        staging: Where workers write them.
        pinned: The list of those whose file is to be kept.
    """

    def __init__(self, run: Path) -> None:
        self._run, self.pinned = run, run / PINNED
        self.folder, self.staging = run / MODELS, run / STAGING

    def make_folders(self) -> None:
        """Make the folders.

        Raises:
            StoreError: If that cannot be done.
        """
        with explained(self._run):
            for folder in (self.folder, self.staging):
                folder.mkdir(parents=True, exist_ok=True)

    def path(self, id_: str) -> Path:
        """Return where a network of the population lies."""
        return self.folder / f"{_checked(id_)}.h5"

    def find(self, id_: str) -> Path:
        """Return the file of a network that is among the models.

        Raises:
            StoreError: If there is none of that id.
        """
        paths = self.folder.glob("*.h5")
        found = {path.stem: path for path in paths if _ID.fullmatch(path.stem)}
        if id_ not in found:
            known = ", ".join(sorted(found, key=lambda name: (len(name), name))) or "none"
            raise StoreError(f"there is no network {id_!r} in {self.folder}; known are {known}.")
        return found[id_]

    def staging_path(self, id_: str) -> Path:
        """Return where to write a network that is to be adopted.

        No other process has the same place for it, as a worker of a search that was just killed
        may still be writing.
        """
        return self.staging / f"{_checked(id_)}.{os.getpid()}.h5"

    def adopt(self, id_: str) -> FileRecord:
        """Move a network that was written to its staging path among the models.

        Returns:
            Its size and checksum, to be recorded for `check`.

        Raises:
            StoreError: If it is not there, or cannot be moved.
        """
        source, target = self.staging_path(id_), self.path(id_)
        with explained(target):
            try:
                described = describe_file(source)
                publish(source, target)
            except FileNotFoundError as error:
                raise StoreError(
                    f"The network {id_} cannot be kept: {error.filename} is not there. Leave the "
                    "folder alone while a search runs."
                ) from error
        return described

    def check(self, id_: str, recorded: FileRecord) -> None:
        """Check that the file of a network is as it was adopted.

        Raises:
            StoreError: If it is not there, or another one.
        """
        path = self.path(id_)
        with explained(path):
            try:
                found = describe_file(path)
            except FileNotFoundError:
                raise StoreError(f"{path} is not there; the search needs it: restore it.") from None
        if found != recorded:
            raise StoreError(
                f"{path} is not the file that the search wrote: {found.bytes:,} bytes, expected"
                f" {recorded.bytes:,}, with the checksum in {HISTORY}; restore it."
            )

    def keep(self, ids: Iterable[str], further: Iterable[str] = ()) -> None:
        """Remove the networks that are neither among those given nor pinned.

        While another process is pinning some for long, none is removed; the next call does that.

        Args:
            ids: Those to keep.
            further: What the data sets after the first are called, whose files go with them.
        """
        names = ("", *(f".{name}" for name in further))
        with self._locked(seconds=0.5) as locked, explained(self.folder):
            kept = {*ids, *self.read_pinned()}
            for path in self.folder.glob("*-*.h5") if locked else ():
                id_, dot, name = path.stem.partition(".")
                of_a_search = is_network_id(id_) and f"{dot}{name}" in names
                if of_a_search and not {id_, path.stem} & kept and path.is_file():
                    path.unlink(missing_ok=True)

    def num_bytes(self) -> int:
        """Return how many bytes the files of the networks have."""
        with explained(self.folder):
            return sum(map(_size, self.folder.glob("*.h5")))

    def read_pinned(self) -> set[str]:
        """Return the ids of the networks whose file is to be kept."""
        with explained(self.pinned):
            try:
                return {i for i in self.pinned.read_text().split() if _ID.fullmatch(i)}
            except FileNotFoundError:
                return set()
            except UnicodeDecodeError:
                raise StoreError(f"{self.pinned} is no text; expected ids, a line each.") from None

    def pin(self, ids: Iterable[str]) -> None:
        """Have the files of networks kept, whatever becomes of the front.

        Raises:
            StoreError: If one of them has no file; nothing is pinned then. If it was removed
                meanwhile, or another process is at the list for long.
        """
        ids = list(ids)
        with self._locked(seconds=_PATIENCE) as locked:
            if not locked:
                raise StoreError(
                    f"another process is pinning or removing networks in {self.folder}; give the"
                    " same command again."
                )
            for id_ in ids:
                self.find(id_)
            lines = "".join(f"{id_}\n" for id_ in sorted({*self.read_pinned(), *ids}))
            with explained(self.pinned):
                write_atomic(self.pinned, lines.encode())
            for id_ in ids:  # a file system may not tell other machines of the lock
                self.find(id_)

    @contextmanager
    def _locked(self, seconds: float) -> Iterator[bool]:
        """Keep others from pinning and removing networks; yield whether that could be done."""
        descriptor = lock_folder(self.folder, seconds=seconds)
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def clear_staging(self) -> None:
        """Remove what this process, or one that is no more, left unfinished.

        Only when no worker of this process is running, and with the lock of the run. What other
        processes are writing stays: a worker of a search that was just killed, a report, a
        retraining.
        """
        with explained(self.staging):
            self.staging.mkdir(exist_ok=True)
            for path in [*self.staging.iterdir(), *self._run.glob(".*.unfinished*")]:
                if path.is_file() and not _is_in_use(path):
                    path.unlink(missing_ok=True)


def _is_in_use(path: Path) -> bool:
    """Whether another process that lives is writing a file, by the process id in its name."""
    found = _WRITER.search(path.name)
    if found is None or int(found[1]) == os.getpid():
        return False
    try:
        os.kill(int(found[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another user's
        pass
    return True


def _checked(id_: str) -> str:
    """Check that an id can be the name of a file."""
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise ValueError(
            f"The id {id_!r} cannot be the name of a file; expected up to 100 letters, digits, "
            "dots, dashes and underscores, such as '12-7'."
        )
    return id_


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # removed by a search that runs
        return 0


def describe_file(path: Path) -> FileRecord:
    """Return the size and the checksum of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRecord(path.stat().st_size, digest)
