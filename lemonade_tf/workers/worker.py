"""What runs in a worker's process: children, one after the other."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from lemonade_tf.backends.base import backend
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.loading import load_datasets
from lemonade_tf.latency.measuring import measure_networks
from lemonade_tf.latency.measuring_task import MeasuringTask
from lemonade_tf.training.augmentation import preparation_for
from lemonade_tf.training.batch_transform import BatchTransform
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.child import train_child
from lemonade_tf.workers.measured_objectives import prepare_objective
from lemonade_tf.workers.several_datasets import train_on_all
from lemonade_tf.workers.tasks import (
    ChildResult,
    ChildTask,
    ObjectiveTask,
    Task,
    Timing,
    TimingTask,
)
from lemonade_tf.workers.timing import time_network


def setup_worker(
    dataset: str,
    settings: TrainingSettings,
    *,
    data_dir: str | None = None,
    threads: int | None = None,
) -> Callable[[Task], Any]:
    """Set up this process for training children, and return the function that trains one.

    Args:
        dataset: Names or paths, for `load_datasets`.
        settings: How to train.
        data_dir: The folder with the data sets, for `load_datasets`.
        threads: Threads an operation may use; a setting of the run, because results depend on it
            in the last digits.

    Raises:
        DatasetError: The data set cannot be read.
        ValueError: The augmentation does not fit its images.
    """
    if keras.backend.backend() == "tensorflow":
        from lemonade_tf.backends.setup_tensorflow import set_up

        set_up(threads)
    data, further = load_datasets(dataset, data_dir)
    others = {name: (each, preparation_for(each, settings)) for name, each in further.items()}
    return Worker(data, settings, preparation_for(data, settings), others)


@dataclass(frozen=True)
class _OnDevice:
    """A data set that is ready: its training images on the device, what happens to a batch."""

    data: Dataset
    images: Any
    preparation: BatchTransform


class Worker:
    """Trains children on one data set or several, which stay on the device.

    Calling it trains a child. What a child held is given back when it is done; what Python and the
    backend loaded for good is set aside after the first child (`gc.freeze`), so that a collection
    takes milliseconds. What still grows a little with every shape that is new is the CPU library's
    cache of kernels.
    """

    def __init__(
        self,
        data: Dataset,
        settings: TrainingSettings,
        preparation: BatchTransform,
        further: Mapping[str, tuple[Dataset, BatchTransform]] | None = None,
    ) -> None:
        self._settings = settings
        given = {None: (data, preparation), **(further or {})}
        self._data = {
            name: _OnDevice(each, backend().place(each.x_train), prepared)
            for name, (each, prepared) in given.items()
        }
        self._warm = False

    def __call__(self, task: Task) -> Any:
        """Train a child, time a network or several, or prepare an objective.

        What is no child is done on the first data set. See `train_child`, `train_on_all`,
        `time_network`, `measure_networks` and `prepare_objective`.
        """
        try:
            if isinstance(task, ObjectiveTask):
                return prepare_objective(task, self._data[None].data)
            if isinstance(task, MeasuringTask):
                return measure_networks(task)
            if not isinstance(task, TimingTask):
                return train_on_all(task, self._train)
            if not self._warm:
                self._time(task)  # with what a process loads once: not a network's
            return self._time(task)
        finally:
            gc.collect()
            if not self._warm:
                gc.freeze()
                self._warm = True

    def _train(self, task: ChildTask) -> ChildResult:
        if task.data is not None:
            gc.collect()  # what the network for the data set before held is needed now
        on = self._data[task.data]
        given = {"images": on.images, "preparation": on.preparation}
        return train_child(task, on.data, self._settings, **given)

    def _time(self, task: TimingTask) -> Timing:
        on = self._data[None]
        given = {"images": on.images, "preparation": on.preparation}
        return time_network(task, on.data, self._settings, **given)
