"""Write files atomically: they appear complete or not at all, even if the machine crashes.

Write to another name on the same file system, flush the file to disk (fsync), rename it, flush the
folder to disk: a rename is atomic, but only flushing makes it durable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: str | os.PathLike[str], content: bytes) -> None:
    """Write or replace a file.

    Raises:
        OSError: If it cannot be written; an existing file is unchanged then.
    """
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield another path to write to, and move it to `path` unless an exception is raised.

    It has the same suffix, by which some libraries choose the format.

    Raises:
        OSError: If it cannot be written; an existing file is unchanged then.
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
        target: Where to move it; an existing file is replaced.

    Raises:
        OSError: If it cannot be moved; an existing file is unchanged then.
    """
    sync(source)
    os.replace(source, target)
    sync(target.parent)


def make_folder(path: Path, *, exist_ok: bool = True) -> None:
    """Create a folder, and those above it that are missing, durably.

    Args:
        path: The folder.
        exist_ok: Whether it may exist already.

    Raises:
        OSError: If it cannot be created; a FileExistsError if it exists and may not.
    """
    path = path.absolute()
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=exist_ok)
    for folder in reversed(missing):  # flushing a folder does not flush its name in the one above
        sync(folder.parent)


def sync(path: str | os.PathLike[str]) -> None:
    """Flush a file or a folder from the system's memory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
