"""Files that appear whole or not at all, whatever kills the process."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomic(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file: to a temporary one beside it, which then takes its name.

    Args:
        path: The file; one that exists is replaced.
        content: All of it.

    Raises:
        OSError: It cannot be written; then nothing is left of it.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def sync(path: str | os.PathLike[str]) -> None:
    """Bring a file or a folder from the system's memory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
