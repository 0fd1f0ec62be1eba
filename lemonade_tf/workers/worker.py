"""The worker of a search, which carries out tasks one after the other."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from lemonade_tf.backends.batch_transform import BatchTransform
from lemonade_tf.backends.current import current_backend
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.source import DatasetSource
from lemonade_tf.datasets.splits import sampled
from lemonade_tf.latency.measuring import measure_networks
from lemonade_tf.latency.measuring_task import MeasuringTask
from lemonade_tf.training.augmentation import augmentation_for
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.streaming import place_images
from lemonade_tf.workers.child import train_child
from lemonade_tf.workers.measured_objectives import prepare_objective
from lemonade_tf.workers.several_datasets import train_on_all
from lemonade_tf.workers.tasks import (
    ChildResult,
    ChildTask,
    ObjectiveTask,
    SizeTask,
    Task,
    Timing,
    TimingTask,
)
from lemonade_tf.workers.timing import time_network

_SIZES = "lemonade_tf.export.measured_sizes"  # imported when needed; it is built on workers


def setup_worker(
    source: DatasetSource,
    settings: TrainingSettings,
    *,
    threads: int | None = None,
    strategy: str = "one_per_gpu",
    device_memory: float | None = None,
) -> Callable[[Task], Any]:
    """Set up this process for a search, and return the function that carries out tasks.

    Args:
        source: Where to get the data sets from.
        settings: The training settings.
        threads: CPU threads per operation. A setting of the run, as results depend on it in the
            last digits.
        strategy: On which devices it trains a network; see `Backend.set_up`.
        device_memory: Gigabytes of the device's memory for the images of all data sets; None for no
            limit.

    Raises:
        DatasetError: If a data set cannot be read.
        ValueError: If the augmentation does not fit its images.
    """
    current_backend().set_up(threads, strategy)
    data, extra = source.load()
    return Worker(
        data,
        settings,
        augmentation_for(data, settings),
        {name: (each, augmentation_for(each, settings)) for name, each in extra.items()},
        device_memory=device_memory,
    )


@dataclass(frozen=True)
class _DeviceData:
    """A data set, its training images as placed on the device, the transform of its batches.

    `num_images` is the number of training images that were asked for; None for all.
    """

    data: Dataset
    images: Any
    transform: BatchTransform
    num_images: int | None = None


class Worker:
    """Carries out the tasks of a search; the images of its data sets stay on the device, or stream.

    After each task, the memory of its models is collected. What Python and the backend loaded
    permanently is excluded from collection after the first task (`gc.freeze`), so that a collection
    takes milliseconds. Only the kernel cache of the CPU library still grows slightly with every new
    shape.

    Args:
        data: The first data set.
        settings: The training settings.
        transform: Transform of the batches of the first data set.
        extra_datasets: Extra data sets, and the transforms of their batches, by name.
        device_memory: Gigabytes of the device's memory for the images of all data sets; those of
            data sets that need more than an equal share stream.
    """

    def __init__(
        self,
        data: Dataset,
        settings: TrainingSettings,
        transform: BatchTransform,
        extra_datasets: Mapping[str, tuple[Dataset, BatchTransform]] | None = None,
        *,
        device_memory: float | None = None,
    ) -> None:
        self._settings = settings
        all_data = {None: (data, transform), **(extra_datasets or {})}
        device_bytes = None if device_memory is None else device_memory * 1e9 / len(all_data)
        self._datasets, self._device_bytes = all_data, device_bytes
        self._placed: dict[str | None, _DeviceData] = {}
        self._warm = False

    def __call__(self, task: Task) -> Any:
        """Carry out a task.

        Everything but training a child uses the first data set. See `train_child`, `train_on_all`,
        `time_network`, `measure_networks`, `file_sizes` and `prepare_objective`.
        """
        try:
            if isinstance(task, ObjectiveTask):
                return prepare_objective(task, self._datasets[None][0])
            if isinstance(task, MeasuringTask):
                return measure_networks(task)
            if isinstance(task, SizeTask):
                return import_module(_SIZES).file_sizes(task.file)
            if not isinstance(task, TimingTask):
                return train_on_all(task, self._train)
            if not self._warm:  # warm-up: loads what a process needs once, not per network
                self._time(task, replace(self._settings, jit_compile="never"))
            return self._time(task, self._settings)
        finally:
            gc.collect()  # Keras models are reference cycles
            if not self._warm:
                gc.freeze()
                self._warm = True

    def _train(self, task: ChildTask) -> ChildResult:
        if task.dataset is not None:
            gc.collect()  # frees the network for the previous data set
        on = self._on_device(task.dataset, task.num_images)
        settings = self._settings if task.settings is None else task.settings
        return train_child(task, on.data, settings, images=on.images, transform=on.transform)

    def _on_device(self, name: str | None, num_images: int | None = None) -> _DeviceData:
        """Return a data set, or some of its training images, placed in place of others of it."""
        placed = self._placed.get(name)
        if placed is None or placed.num_images != num_images:
            self._placed.pop(name, None)  # frees its memory first
            data, transform = self._datasets[name]
            data = data if num_images is None else sampled(data, num_images)
            images = place_images(data.x_train, self._device_bytes)
            placed = self._placed[name] = _DeviceData(data, images, transform, num_images)
        return placed

    def _time(self, task: TimingTask, settings: TrainingSettings) -> Timing:
        on = self._on_device(None)
        return time_network(task, on.data, settings, images=on.images, transform=on.transform)
