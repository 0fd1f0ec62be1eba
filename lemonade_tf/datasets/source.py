"""Where workers get the data sets of a run from: plain values that travel to worker processes.

The driver of a run decides; a worker only calls `load`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from lemonade_tf.datasets.array_files import ArrayFile
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.loading import load_datasets

Datasets = tuple[Dataset, Mapping[str, Dataset]]  # the first, and the extra ones by name


class DatasetSource(ABC):
    """A source of the data sets of a run; it can be pickled."""

    @abstractmethod
    def load(self) -> Datasets:
        """Return the first data set, and the extra ones by name.

        Raises:
            DatasetError: If one cannot be used.
        """

    @property
    @abstractmethod
    def paths(self) -> tuple[str, ...]:
        """The files of this machine that `load` reads, for workers on other machines."""

    @abstractmethod
    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the source that reads copies of these files, given by their old paths."""


@dataclass(frozen=True)
class NamedDatasets(DatasetSource):
    """Data sets that each worker loads by name.

    Attributes:
        dataset: Names or paths, for `load_datasets`.
        data_dir: Folder of the official archives of data sets.
        cache_dir: Folder for converted images.
        image_size: Height and width of images that are made from pictures.
    """

    dataset: str
    data_dir: str | None = None
    cache_dir: str | None = None
    image_size: tuple[int, ...] | None = None

    def load(self) -> Datasets:
        """Load the data sets; see `load_datasets`."""
        return load_datasets(
            self.dataset, self.data_dir, cache_dir=self.cache_dir, image_size=self.image_size
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """No files: each machine has its own."""
        return ()

    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the same source."""
        return self


@dataclass(frozen=True, eq=False)
class SharedDatasets(DatasetSource):
    """Data sets that the driver has loaded: small arrays by value, large ones in mapped files.

    Attributes:
        first: The fields of the first data set, with an `ArrayFile` for each mapped array.
        extra: The same of the extra data sets, by name.
    """

    first: Mapping[str, Any]
    extra: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, first: Dataset, extra: Mapping[str, Dataset] | None = None) -> Self:
        """Return the source of data sets whose arrays `ArrayFiles.allocate` has created."""
        return cls(_packed(first), {name: _packed(each) for name, each in (extra or {}).items()})

    def load(self) -> Datasets:
        """Map the files of the data sets."""
        return _unpacked(self.first), {name: _unpacked(each) for name, each in self.extra.items()}

    @property
    def paths(self) -> tuple[str, ...]:
        """The mapped files."""
        values = [value for each in (self.first, *self.extra.values()) for value in each.values()]
        files = (value.path for value in values if isinstance(value, ArrayFile))
        return tuple(dict.fromkeys(files))  # several arrays may be in one file

    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the source that maps copies of the files."""

        def moved(packed: Mapping[str, Any]) -> Mapping[str, Any]:
            return {
                name: (
                    replace(value, path=paths[value.path])
                    if isinstance(value, ArrayFile)
                    else value
                )
                for name, value in packed.items()
            }

        extra = {name: moved(each) for name, each in self.extra.items()}
        return replace(self, first=moved(self.first), extra=extra)


def _packed(dataset: Dataset) -> Mapping[str, Any]:
    packed = {field.name: getattr(dataset, field.name) for field in fields(dataset)}
    for name, value in packed.items():
        packed[name] = ArrayFile.of(value) or value
    # It takes two passes over the images, so workers do not repeat it.
    return packed | {"known_rescaling": dataset.rescaling()}


def _unpacked(packed: Mapping[str, Any]) -> Dataset:
    values: dict[str, Any] = {
        name: value.open() if isinstance(value, ArrayFile) else value
        for name, value in packed.items()
    }
    return Dataset(**values)
