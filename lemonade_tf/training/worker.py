"""What runs in a worker's process: children, one after the other."""

from __future__ import annotations

import gc
from collections.abc import Callable

import keras

from lemonade_tf.training.child import ChildResult, ChildTask, train_child
from lemonade_tf.training.datasets import load_dataset
from lemonade_tf.training.preparation import AS_THEY_ARE, Preparation
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.step import backend


def setup_worker(
    dataset: str,
    settings: TrainingSettings,
    *,
    data_dir: str | None = None,
    threads: int | None = None,
    preparation: Preparation = AS_THEY_ARE,
) -> Callable[[ChildTask], ChildResult]:
    """Set up this process for training children, and return the function that trains one.

    Args:
        dataset: A name or a path, for `load_dataset`.
        settings: How to train.
        data_dir: The folder with the data sets, for `load_dataset`.
        threads: Threads an operation may use; a setting of the run, because results depend on it
            in the last digits.
        preparation: What happens to a batch first.
    """
    if keras.backend.backend() == "tensorflow":
        from lemonade_tf.training.setup_tensorflow import set_up

        set_up(threads)
    data = load_dataset(dataset, data_dir)
    return Worker(data, settings, preparation)


class Worker:
    """Trains children on one data set, which stays on the device.

    Calling it trains a child. Memory of children that are done is given back at once: what
    Python and the backend loaded for good is set aside after the first child (`gc.freeze`), so
    a collection takes milliseconds.
    """

    def __init__(self, data: object, settings: TrainingSettings, preparation: Preparation) -> None:
        self._data, self._settings, self._preparation = data, settings, preparation
        self._images = backend().place(data.x_train)
        self._warm = False

    def __call__(self, task: ChildTask) -> ChildResult:
        """Train a child; see `train_child`."""
        try:
            return train_child(
                task,
                self._data,
                self._settings,
                images=self._images,
                preparation=self._preparation,
            )
        finally:
            gc.collect()
            if not self._warm:
                gc.freeze()
                self._warm = True
