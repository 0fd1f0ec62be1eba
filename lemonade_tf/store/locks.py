"""Locks on folders, which the operating system releases when the process ends for any reason."""

from __future__ import annotations

import os
import time
from pathlib import Path

from lemonade_tf.errors import LemonadeError
from lemonade_tf.store.disk_errors import StoreError, explained

try:
    import fcntl
except ModuleNotFoundError:
    raise LemonadeError(
        "lemonade_tf does not support Windows; use Linux, macOS or WSL 2."
    ) from None

_PAUSE = 0.02  # seconds between two attempts
_TIMEOUT = 0.5  # seconds; a process that checks for a lock holds it for a moment


class FolderLock:
    """An exclusive lock on a folder.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Acquire the lock.

        Raises:
            StoreError: If another process holds it, or the file system has no locks.
        """
        self._descriptor = lock_folder(self._path, seconds=_TIMEOUT)
        if self._descriptor is None:
            raise StoreError(
                f"{self._path} is in use by another process; wait until it has ended, or stop it."
            )

    def release(self) -> None:
        """Release the lock if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def lock_folder(path: Path, *, shared: bool = False, seconds: float = 0.0) -> int | None:
    """Lock a folder until the returned file descriptor is closed.

    Args:
        path: The folder.
        shared: Whether other processes may hold a shared lock at the same time.
        seconds: How long to try.

    Returns:
        The file descriptor; None if another process holds the lock.

    Raises:
        StoreError: If the folder cannot be opened, or its file system has no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + seconds
    with explained(path):
        descriptor = os.open(path, os.O_RDONLY)
    try:
        while not _try_lock(descriptor, kind):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(_PAUSE)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(
            f"{path} cannot be locked: {error.strerror or error}. Some network file systems have no"
            " locks; use a folder on another disk."
        ) from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
