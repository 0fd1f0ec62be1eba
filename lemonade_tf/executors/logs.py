"""Where a worker's output goes, so that it does not garble the driver's terminal."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path

_TAIL_BYTES = 8192
_TAIL_LINES = 20


class WorkerLog:
    """The file that a process writes its output to.

    Args:
        path: The file, appended to; None for a temporary one that has no name.
    """

    def __init__(self, path: Path | None = None):
        if path is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (kept open)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+", buffering=0)
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
