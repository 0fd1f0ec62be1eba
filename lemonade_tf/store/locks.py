"""Locks on folders, which the system takes from a process when it ends, in whatever way."""

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


def lock_folder(path: Path, *, shared: bool = False, seconds: float = 0.0) -> int | None:
    """Lock a folder, until the descriptor that is returned is closed.

    Args:
        path: The folder.
        shared: Whether others may have a shared lock at the same time.
        seconds: For how long to try.

    Returns:
        The descriptor; None if another process has the lock.

    Raises:
        StoreError: The folder cannot be opened, or its file system has no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + seconds
    with explained(path):
        descriptor = os.open(path, os.O_RDONLY)
    try:
        while not _taken(descriptor, kind):
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


def _taken(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
