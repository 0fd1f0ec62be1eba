"""Where a worker's output goes, so that it does not garble the driver's terminal."""

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
    """The file that a process writes its output to.

    Args:
        path: The file, appended to; None for a temporary one that has no name.

    Raises:
        WorkerSetupError: The file, or the folder that it is to be in, cannot be made.
    """

    def __init__(self, path: Path | None = None):
        try:
            self._file = _temporary() if path is None else _opened(path)
        except OSError as error:
            folder = path.parent if path else tempfile.tempdir or "temporary files"
            raise WorkerSetupError(
                f"{folder}: no file for the output of workers can be made there"
                f" ({error.strerror or error}); expected a folder to write to, with space left."
            ) from error
        weakref.finalize(self, self._file.close)
        self._start = os.fstat(self.fileno()).st_size

    def fileno(self) -> int:
        """Return the descriptor, to hand to the process."""
        return self._file.fileno()

    def tail(self) -> str:
        """Return the last lines that the process wrote."""
        end = os.fstat(self.fileno()).st_size
        start = max(self._start, end - _TAIL_BYTES)
        # The process shares the position in the file; this leaves it where it is.
        text = os.pread(self.fileno(), end - start, start).decode(errors="replace")
        return "\n".join(text.splitlines()[-_TAIL_LINES:])

    def close(self) -> None:
        """Close the file here; the process keeps it."""
        self._file.close()


def _temporary() -> IO[bytes]:
    return tempfile.TemporaryFile(buffering=0)


def _opened(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab+", buffering=0)
