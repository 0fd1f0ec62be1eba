"""A small file in which a worker tells the search how far a long task is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


class ProgressFile:
    """How much of a task is done, as text such as "90 360".

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: tuple[int, int] | None = None

    def write(self, done: int, total: int) -> None:
        """Replace the contents; a file that cannot be written does not disturb the task."""
        with suppress(OSError):
            self._path.write_text(f"{done} {total}", encoding="ascii")

    def read(self) -> tuple[int, int] | None:
        """Return the last numbers that were written; None before the first."""
        with suppress(OSError, ValueError):  # it does not exist yet, or is being written
            done, total = self._path.read_text(encoding="ascii").split()
            self._last = int(done), int(total)
        return self._last
