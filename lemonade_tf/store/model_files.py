"""The network files of a run: those that are kept, and those that a worker is writing.

A worker writes a network to `staging/`; the search then moves it to `models/`, records its checksum
in history.jsonl, and removes it once neither the front nor a child needs it, unless the user pinned
it. The process id in the name of a file in `staging/` tells whether its writer is still alive.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lemonade_tf.store.atomic import make_folder, publish, write_atomic
from lemonade_tf.store.disk_errors import StoreError, explained
from lemonade_tf.store.file_names import HISTORY, MODELS, PINNED, STAGING
from lemonade_tf.store.locks import lock_folder
from lemonade_tf.store.network_ids import is_network_id
from lemonade_tf.store.records import FileRecord

_PIN_SECONDS = 10.0  # to wait for the lock of the models, when pinning
_KEEP_SECONDS = 0.5  # the same, when removing networks
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_WRITER = re.compile(r"\.([0-9]+)\.(?:unfinished|h5)")  # the process id in a file name


class ModelFiles:
    """Manage the network files of a run.

    Args:
        run: The folder of the run.

    Attributes:
        folder: The folder of the networks.
        staging: The folder that workers write to.
        pinned: The file that lists the pinned networks.
    """

    def __init__(self, run: Path) -> None:
        self._run, self.pinned = run, run / PINNED
        self.folder, self.staging = run / MODELS, run / STAGING

    def make_folders(self) -> None:
        """Create the folders.

        Raises:
            StoreError: If they cannot be created.
        """
        with explained(self._run):
            for folder in (self.folder, self.staging):
                make_folder(folder)

    def path(self, id_: str) -> Path:
        """Return the path of the file of a network."""
        return self.folder / f"{_checked(id_)}.h5"

    def find(self, id_: str) -> Path:
        """Return the path of the file of a network that has one.

        Raises:
            StoreError: If there is no such file.
        """
        paths = self.folder.glob("*.h5")
        found = {path.stem: path for path in paths if _ID.fullmatch(path.stem)}
        if id_ not in found:
            known = ", ".join(sorted(found, key=lambda name: (len(name), name))) or "none"
            raise StoreError(f"network {id_!r} is not in {self.folder}; known are {known}.")
        return found[id_]

    def staging_path(self, id_: str) -> Path:
        """Return the path that a worker writes a network to, before `adopt`.

        It contains the process id of the search: a worker of a search that was just killed may
        still be writing the same network.
        """
        return self.staging / f"{_checked(id_)}.{os.getpid()}.h5"

    def adopt(self, id_: str) -> FileRecord:
        """Move the file of a network from its staging path to the models.

        Returns:
            Its size and checksum, to be recorded for `check`.

        Raises:
            StoreError: If it does not exist, or cannot be moved.
        """
        source, target = self.staging_path(id_), self.path(id_)
        with explained(target):
            try:
                described = describe_file(source)
                publish(source, target)
            except FileNotFoundError as error:
                raise StoreError(
                    f"network {id_} cannot be kept: {error.filename} is missing. Do not change the"
                    " folder while a search is running."
                ) from error
        return described

    def check(self, id_: str, recorded: FileRecord) -> None:
        """Check that the file of a network is the one that was adopted.

        Raises:
            StoreError: If it is missing or has changed.
        """
        path = self.path(id_)
        with explained(path):
            try:
                found = describe_file(path)
            except FileNotFoundError:
                raise StoreError(f"{path} is missing; the search needs it: restore it.") from None
        if found != recorded:
            raise StoreError(
                f"{path} has changed since the search wrote it: {found.bytes:,} bytes; expected"
                f" {recorded.bytes:,} bytes with the checksum in {HISTORY}. Restore it."
            )

    def keep(self, ids: Iterable[str], extra_datasets: Iterable[str] = ()) -> None:
        """Remove all networks but the given and the pinned ones.

        If another process holds the lock for long, because it pins networks, none is removed: the
        next call does.

        Args:
            ids: The networks to keep.
            extra_datasets: The names of the data sets after the first; the files of a network for
                these are kept or removed with it.
        """
        names = ("", *(f".{name}" for name in extra_datasets))
        with self._locked(seconds=_KEEP_SECONDS) as locked, explained(self.folder):
            kept = {*ids, *self.read_pinned()}
            for path in self.folder.glob("*-*.h5") if locked else ():
                id_, dot, name = path.stem.partition(".")
                is_of_search = is_network_id(id_) and f"{dot}{name}" in names
                if is_of_search and not {id_, path.stem} & kept and path.is_file():
                    path.unlink(missing_ok=True)

    def num_bytes(self) -> int:
        """Return the total size of the network files in bytes."""
        with explained(self.folder):
            return sum(map(_size, self.folder.glob("*.h5")))

    def read_pinned(self) -> set[str]:
        """Return the ids of the pinned networks."""
        with explained(self.pinned):
            try:
                return {
                    i for i in self.pinned.read_text(encoding="utf-8").split() if _ID.fullmatch(i)
                }
            except FileNotFoundError:
                return set()
            except UnicodeDecodeError:
                raise StoreError(f"{self.pinned} is not text; expected one id per line.") from None

    def pin(self, ids: Iterable[str]) -> None:
        """Keep the files of networks even if these leave the front.

        Raises:
            StoreError: If one of them has no file, then nothing is pinned; if one was removed
                meanwhile; or if another process holds the lock for long.
        """
        ids = list(ids)
        with self._locked(seconds=_PIN_SECONDS) as locked:
            if not locked:
                raise StoreError(
                    f"{self.folder} is locked by another process, which pins or removes networks;"
                    " rerun the command."
                )
            for id_ in ids:
                self.find(id_)
            lines = "".join(f"{id_}\n" for id_ in sorted({*self.read_pinned(), *ids}))
            with explained(self.pinned):
                write_atomic(self.pinned, lines.encode())
            for id_ in ids:  # on some network file systems, other machines do not see the lock
                self.find(id_)

    @contextmanager
    def _locked(self, seconds: float) -> Iterator[bool]:
        """Keep other processes from pinning and removing networks; yield whether that succeeded."""
        descriptor = lock_folder(self.folder, seconds=seconds)
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def clear_staging(self) -> None:
        """Remove the unfinished files of this process and of processes that have ended.

        Call it with the lock of the run, while no worker of this process is running. The files of
        other live processes stay: a worker of a search that was just killed, a report, a
        retraining.
        """
        with explained(self.staging):
            self.staging.mkdir(exist_ok=True)
            for path in [*self.staging.iterdir(), *self._run.glob(".*.unfinished*")]:
                if path.is_file() and not _is_in_use(path):
                    path.unlink(missing_ok=True)

    def remove_staging(self) -> None:
        """Remove the folder that workers write to, unless another live process writes to it.

        Call it like `clear_staging`, which creates the folder again.
        """
        self.clear_staging()
        with suppress(OSError):  # it is not empty
            self.staging.rmdir()


def _is_in_use(path: Path) -> bool:
    """Return whether another live process is writing a file, by the process id in its name."""
    found = _WRITER.search(path.name)
    if found is None or int(found[1]) == os.getpid():
        return False
    try:
        os.kill(int(found[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # a live process of another user
        pass
    return True


def _checked(id_: str) -> str:
    """Return an id that can be a file name.

    Raises:
        ValueError: If it cannot.
    """
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise ValueError(
            f"id is {id_!r}; expected 1 to 100 letters, digits, dots, dashes and underscores, such"
            " as '12-7'."
        )
    return id_


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # removed by a running search
        return 0


def describe_file(path: Path) -> FileRecord:
    """Return the size and the checksum of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRecord(path.stat().st_size, digest)
