"""The folder on a node in which its workers keep the files that they are given.

All workers of an executor on a node share it, so that a large file, such as a data set, exists once
per node. Each worker holds a lock on it; the system releases the lock of a process that ends for
any reason. The last worker to leave removes the folder. If it is killed, the next executor on the
node does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

_PREFIX = f"lemonade_tf-{os.getuid()}-node-"
_MIN_AGE = 60.0  # seconds; a younger folder may not be locked yet


class NodeFolder:
    """The folder of an executor on this machine.

    Args:
        key: Identifies the executor.
        parent: Where to create the folder; by default, in that of temporary files.

    Attributes:
        path: The folder.
    """

    def __init__(self, key: str, parent: Path | None = None) -> None:
        parent = Path(tempfile.gettempdir()) if parent is None else parent
        _remove_abandoned(parent)
        self.path = parent / f"{_PREFIX}{key}"
        self._lock: int | None = _lock_shared(self.path)

    def add(self, name: str, content: Callable[[], np.ndarray]) -> Path:
        """Return the path of a file that all workers share; the first to ask writes it.

        Args:
            name: Its name, the same in all workers.
            content: Returns its bytes, uint8 (size,).
        """
        path = self.path / name
        with (self.path / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                unfinished = path.with_name(f".{path.name}")
                content().tofile(unfinished)
                unfinished.replace(path)
        return path

    def leave(self) -> None:
        """Release the folder, and remove it if no other worker uses it; again has no effect."""
        if self._lock is None:
            return
        with suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = None


def _lock_shared(path: Path) -> int:
    """Create a folder if needed, and lock it; return the file descriptor of the lock."""
    while True:
        path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # another process removed the folder before it was locked


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of executors whose workers were all killed."""
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime < _MIN_AGE:
                continue
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)
