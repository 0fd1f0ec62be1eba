"""Files that appear whole or not at all, whatever ends the process or the machine.

Write elsewhere on the same file system, bring to disk (fsync), rename, bring the folder to disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file, or replace it.

    Raises:
        OSError: If it cannot be written; what was there before stays.
    """
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to instead, and move it to `path` if all went well.

    The suffix is the same, as some libraries choose the format by it.

    Raises:
        OSError: If it cannot be written; what was there before stays.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.unfinished{path.suffix}")
    try:
        yield unfinished
        publish(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def publish(source: Path, target: Path) -> None:
    """Move a finished file into place.

    Args:
        source: The file, on the same file system.
        target: Its place; a file that is there is replaced.

    Raises:
        OSError: If it cannot be moved; what was there before stays.
    """
    sync(source)
    os.replace(source, target)
    sync(target.parent)


def sync(path: str | os.PathLike[str]) -> None:
    """Bring a file or a folder from the system's memory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
