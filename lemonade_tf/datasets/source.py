"""Where workers get the data sets of a run from: plain values that travel to worker processes.

The driver of a run decides; a worker only calls `load`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class NamedDatasets(DatasetSource):
    """Data sets that each worker loads by name.

    Attributes:
        dataset: Names or paths, for `load_datasets`.
        data_dir: Folder of the official archives of data sets.
    """

    dataset: str
    data_dir: str | None = None

    def load(self) -> Datasets:
        """Load the data sets; see `load_datasets`."""
        return load_datasets(self.dataset, self.data_dir)
