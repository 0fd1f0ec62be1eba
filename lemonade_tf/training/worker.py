"""What runs in a worker's process: children, one after the other."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import keras

from lemonade_tf.latency.measuring import measure_networks
from lemonade_tf.latency.task import MeasuringTask
from lemonade_tf.training.augmentation import preparation_for
from lemonade_tf.training.child import train_child
from lemonade_tf.training.datasets import Dataset, load_dataset
from lemonade_tf.training.measuring import prepare_objective
from lemonade_tf.training.preparation import Preparation
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.step import backend
from lemonade_tf.training.task import ObjectiveTask, Task, TimingTask
from lemonade_tf.training.timing import time_network


def setup_worker(
    dataset: str,
    settings: TrainingSettings,
    *,
    data_dir: str | None = None,
    threads: int | None = None,
) -> Callable[[Task], Any]:
    """Set up this process for training children, and return the function that trains one.

    Args:
        dataset: A name or a path, for `load_dataset`.
        settings: How to train.
        data_dir: The folder with the data sets, for `load_dataset`.
        threads: Threads an operation may use; a setting of the run, because results depend on it
            in the last digits.

    Raises:
        DatasetError: The data set cannot be read.
        ValueError: The augmentation does not fit its images.
    """
    if keras.backend.backend() == "tensorflow":
        from lemonade_tf.training.setup_tensorflow import set_up

        set_up(threads)
    data = load_dataset(dataset, data_dir)
    return Worker(data, settings, preparation_for(data, settings))


class Worker:
    """Trains children on one data set, which stays on the device.

    Calling it trains a child. What a child held is given back when it is done; what Python and the
    backend loaded for good is set aside after the first child (`gc.freeze`), so that a collection
    takes milliseconds. What still grows a little with every shape that is new is the CPU library's
    cache of kernels.
    """

    def __init__(self, data: Dataset, settings: TrainingSettings, preparation: Preparation) -> None:
        self._data, self._settings, self._preparation = data, settings, preparation
        self._images = backend().place(data.x_train)
        self._warm = False

    def __call__(self, task: Task) -> Any:
        """Train a child, time a network or several, or prepare an objective.

        See `train_child`, `time_network`, `measure_networks` and `prepare_objective`.
        """
        given = (task, self._data, self._settings)
        prepared = {"images": self._images, "preparation": self._preparation}
        try:
            if isinstance(task, ObjectiveTask):
                return prepare_objective(task, self._data)
            if isinstance(task, MeasuringTask):
                return measure_networks(task)
            if not isinstance(task, TimingTask):
                return train_child(*given, **prepared)
            if not self._warm:
                time_network(*given, **prepared)  # with what a process loads once: not a network's
            return time_network(*given, **prepared)
        finally:
            gc.collect()
            if not self._warm:
                gc.freeze()
                self._warm = True
