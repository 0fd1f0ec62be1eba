"""Keep large arrays in memory-mapped files, of which the processes of a machine share one copy.

The process that loads a data set allocates its arrays here. Small ones are ordinary arrays; a large
one is a `.npy` file in a temporary folder, and other processes map the same file. The system keeps
its pages in memory once for all processes, and drops those that are not in use when memory is
short.

The folder is removed at the end. After `kill -9` the next process that needs such a folder removes
it: every folder in use is locked, and the system releases the lock of a process that ended.
"""

from __future__ import annotations

import mmap
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np

from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.store.disk_errors import StoreError
from lemonade_tf.store.locks import lock_folder

# Returns a new array of a shape and a type; its content is undefined, as that of `numpy.empty`.
Allocate = Callable[[tuple[int, ...], Any], np.ndarray]

_LARGE = 2**24  # bytes of an array that is kept in a file
_PREFIX = "lemonade_tf-images-"
_MIN_AGE = 60.0  # seconds; a younger folder may not be locked yet
_PERSISTENT_TEMPORARY = Path("/var/tmp")  # on a disk, unlike /tmp on many systems


class ArrayFiles:
    """Allocates arrays, the large ones in files that other processes can map.

    As a context manager, it removes the files on exit. Processes that have mapped them keep them
    until they end.

    Args:
        cache_dir: The folder in which to create a temporary folder for the files, once there are
            any; by default that of the environment variable TMPDIR, or /var/tmp.
    """

    def __init__(self, cache_dir: str | os.PathLike[str] | None = None) -> None:
        self._parent = cache_folder(cache_dir)
        self._folder: Path | None = None
        self._lock: int | None = None
        self._num_files = 0

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return a new array, in a file if it is large.

        Raises:
            DatasetError: If the file cannot be written, for instance because the disk is full.
        """
        num_bytes = prod(shape) * np.dtype(dtype).itemsize
        if num_bytes < _LARGE:
            return np.empty(shape, dtype)
        try:
            folder = self._locked_folder()
            self._num_files += 1
            path = folder / f"{self._num_files}.npy"
            array = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)
            # Reserve the space on the disk: a mapped file has no way to report later that it is
            # full; the system would kill the process.
            with path.open("r+b") as file:
                _reserve(file.fileno(), path.stat().st_size)
        except OSError as error:
            raise DatasetError(
                f"the images take {num_bytes / 1e9:.1f} GB, which cannot be written to"
                f" {self._parent}: {error.strerror or error}. Free some space there, or choose"
                " another folder with --cache_dir."
            ) from error
        except StoreError as error:
            raise DatasetError(f"{error} Choose it with --cache_dir.") from error
        return array

    def close(self) -> None:
        """Remove the files. Closing again has no effect."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _locked_folder(self) -> Path:
        """Return the folder of the files; create and lock it first if needed."""
        if self._folder is None:
            self._parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(self._parent)
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent)).absolute()
            self._lock = lock_folder(self._folder)
        return self._folder


def cache_folder(cache_dir: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the setting `cache_dir`; see `ArrayFiles`."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    if "TMPDIR" not in os.environ and os.access(_PERSISTENT_TEMPORARY, os.W_OK | os.X_OK):
        return _PERSISTENT_TEMPORARY
    return Path(tempfile.gettempdir())


def _write_zeros(descriptor: int, start: int, size: int) -> None:
    """Reserve space for a file where the system has no call for it (macOS).

    The mapped header at the start must stay.
    """
    block = bytes(2**20)
    position = start + mmap.ALLOCATIONGRANULARITY
    while position < size:
        position += os.pwrite(descriptor, block[: size - position], position)


def _reserve(descriptor: int, size: int) -> None:
    reserve = getattr(os, "posix_fallocate", _write_zeros)
    reserve(descriptor, 0, size)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of this user's processes that were killed."""
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            facts = folder.lstat()
            is_ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
            if not is_ours or time.time() - facts.st_mtime < _MIN_AGE:
                continue
            lock = lock_folder(folder)
        except (OSError, StoreError):
            continue
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def read_ahead(array: np.ndarray, rows: np.ndarray) -> None:
    """Ask the system to read some rows of a memory-mapped file: all at once, and no others.

    Otherwise it reads each row when it is used, one after the other, with some hundred kilobytes
    around it. No effect for other arrays, and for rows that are in memory.

    Args:
        array: (n, ...).
        rows: Indices of rows, int (m,).
    """
    if not (isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap)):
        return
    mapped, row_bytes = array.base, array[:1].nbytes
    starts = array.offset % mmap.ALLOCATIONGRANULARITY + rows.astype(np.int64) * row_bytes
    pages = starts - starts % mmap.PAGESIZE
    for page, size in zip(pages.tolist(), (starts + row_bytes - pages).tolist(), strict=True):
        mapped.madvise(mmap.MADV_WILLNEED, page, size)


@dataclass(frozen=True)
class ArrayFile:
    """A reference to an array in a file: a whole `.npy` file, or some of its rows.

    Attributes:
        path: The file.
        offset: Where the array starts, in bytes.
        shape: The shape of the array.
        dtype: Its type, as in `.npy` files.
    """

    path: str
    offset: int
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, array: np.ndarray) -> Self | None:
        """Return the reference to an array; None if it is not what a memory map was created for."""
        if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
            return cls(str(array.filename), array.offset, array.shape, array.dtype.str)
        return None

    def open(self) -> np.ndarray:
        """Map the file, to read it.

        Raises:
            DatasetError: If it is no longer there.
        """
        try:
            return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"{self.path}, the images that workers share, cannot be read ({error}). Was it"
                " removed? Rerun the command, with --cache_dir if the folder is cleaned up."
            ) from error

    def followed_by(self, other: ArrayFile) -> ArrayFile | None:
        """Return the reference to the rows of both arrays, if the other starts where this ends."""
        size = prod(self.shape) * np.dtype(self.dtype).itemsize
        expected = replace(self, offset=self.offset + size, shape=other.shape)
        if other != expected or other.shape[1:] != self.shape[1:]:
            return None
        return replace(self, shape=(self.shape[0] + other.shape[0], *self.shape[1:]))
