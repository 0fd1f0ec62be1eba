"""The files that tasks and setups name, so that an executor can carry them to another machine.

A task names the files that it reads and writes by paths of the driver's machine. An executor whose
workers may have other file systems copies the files to the worker's machine, runs the task with
the paths of the copies, and copies what it wrote back.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class TaskFiles:
    """The paths of the files that a task names.

    Attributes:
        read: Files that it only reads.
        written: Files that it writes. They appear when the task is done.
        updated: Files that it reads if they exist, and replaces atomically while it runs, such as
            checkpoints. They outlive a task that fails.
    """

    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """All paths, each once."""
        return tuple(dict.fromkeys((*self.read, *self.written, *self.updated)))

    @classmethod
    def union(cls, several: Iterable[TaskFiles]) -> TaskFiles:
        """Return the files of several tasks."""
        several = tuple(several)
        return cls(
            tuple(path for files in several for path in files.read),
            tuple(path for files in several for path in files.written),
            tuple(path for files in several for path in files.updated),
        )


class NamesFiles(ABC):
    """A task, or a setup, that names files. Those of other classes use no files."""

    @property
    @abstractmethod
    def files(self) -> TaskFiles:
        """The files that it names."""

    @abstractmethod
    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the same task with other paths.

        Args:
            paths: The new path of each of its files, by the old path.
        """


def files_of(value: object) -> TaskFiles:
    """Return the files that a task or a setup names."""
    return value.files if isinstance(value, NamesFiles) else TaskFiles()


def paths_in(folder: str | os.PathLike[str], files: TaskFiles) -> dict[str, str]:
    """Return a path inside a folder for each file, by the file's path.

    The name of a file stays the same; files of the same name lie in different subfolders.
    """
    return {
        path: os.path.join(folder, str(number), os.path.basename(path))
        for number, path in enumerate(files.all)
    }
