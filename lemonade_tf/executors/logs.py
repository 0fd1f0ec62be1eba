"""Files for the output of workers, which would otherwise clutter the driver's terminal."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path
from typing import IO

from lemonade_tf.executors.base import WorkerSetupError

_TAIL_BYTES = 8192
_TAIL_LINES = 20


class WorkerLog:
    """The file to which a process writes its output.

    Args:
        path: The file, opened for appending; None for an unnamed temporary file.

    Raises:
        WorkerSetupError: If the file or its folder cannot be created.
    """

    def __init__(self, path: Path | None = None):
        try:
            self._file = _temporary() if path is None else _open(path)
        except OSError as error:
            folder = path.parent if path else tempfile.tempdir or "temporary files"
            raise WorkerSetupError(
                f"{folder}: cannot create the log file of a worker ({error.strerror or error});"
                " expected a writable folder with free space."
            ) from error
        weakref.finalize(self, self._file.close)
        self._start = os.fstat(self.fileno()).st_size

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._file.fileno()

    def tail(self) -> str:
        """Return the last lines that the process has written."""
        end = os.fstat(self.fileno()).st_size
        start = max(self._start, end - _TAIL_BYTES)
        # The process shares the file position; pread does not move it.
        text = os.pread(self.fileno(), end - start, start).decode(errors="replace")
        return "\n".join(text.splitlines()[-_TAIL_LINES:])

    def close(self) -> None:
        """Close the file in this process; the other keeps it open."""
        self._file.close()


def _temporary() -> IO[bytes]:
    return tempfile.TemporaryFile(buffering=0)


def _open(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab+", buffering=0)
