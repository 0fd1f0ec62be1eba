"""One network of a front, from its architecture alone to trained weights and a test error (A.4.4).

"All models are trained from scratch on the training and validation set": the weights are new, the
validation images are among those trained on, and the test images have the last word. A training
of hours is ended now and then by something else, so it leaves checkpoints, and goes on from one to
the very weights that it would have had.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.text import to_json
from lemonade_tf.backends.base import backend
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.keras_bridge.files import load_graph, load_record
from lemonade_tf.keras_bridge.saving import save_model
from lemonade_tf.keras_bridge.weights import read_weights
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.training.augmentation import preparation_for
from lemonade_tf.training.checkpoints import CheckpointError, Checkpoints
from lemonade_tf.training.evaluation import error
from lemonade_tf.training.fit import TrainingDiverged, TrainingState, finite, fit
from lemonade_tf.training.out_of_memory import batch_of, out_of_memory
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.child import training_model
from lemonade_tf.workers.retraining_task import RetrainResult, RetrainTask


def setup_retraining(
    dataset: str,
    settings: TrainingSettings,
    *,
    data_dir: str | None = None,
    threads: int | None = None,
) -> Callable[[RetrainTask], RetrainResult]:
    """Set up this process for training from scratch, and return the function that does it.

    Args:
        dataset: A name or a path, for `load_dataset`.
        settings: How to train.
        data_dir: The folder with the data sets, for `load_dataset`.
        threads: Threads an operation may use; results depend on it in the last digits.

    Raises:
        DatasetError: The data set cannot be read.
        ValueError: The augmentation does not fit its images.
    """
    if keras.backend.backend() == "tensorflow":
        from lemonade_tf.backends.setup_tensorflow import set_up

        set_up(threads)
    return Retrainer(load_dataset(dataset, data_dir), settings)


def training_and_validation(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of both parts together, in this order."""
    return (
        np.concatenate([data.x_train, data.x_validation]),
        np.concatenate([data.y_train, data.y_validation]),
    )


class Retrainer:
    """Trains networks from scratch on one data set, which stays on the device.

    Args:
        data: The images.
        settings: How to train. The augmentation fills with the mean of the training images alone:
            it is what the network's own `Rescaling` brings to 0.
    """

    def __init__(self, data: Dataset, settings: TrainingSettings) -> None:
        self._data, self._settings = data, settings
        self._preparation = preparation_for(data, settings)
        images, labels = training_and_validation(data)
        self._images, self._labels = backend().place(images), backend().place(labels)

    def __call__(self, task: RetrainTask) -> RetrainResult:
        """Train a network, write its file, and return its test error.

        A network that diverges, does not fit into memory or cannot be written is a result with a
        failure, and no file.
        The checkpoint stays: it is for the caller to remove when the result is safe.

        Raises:
            FileError: The network's file in the run cannot be read.
        """
        try:
            return self._train(task)
        except TrainingDiverged as diverged:
            return RetrainResult(task.id, failure=f"diverged: {diverged}")
        except OSError as unusable:
            place = unusable.filename or f"{task.output} or its checkpoint"
            why = unusable.strerror or unusable
            return RetrainResult(task.id, failure=f"{place} cannot be used: {why}.")
        except Exception as error:
            if not backend().is_out_of_memory(error):
                raise
            return RetrainResult(task.id, failure=self._out_of_memory(task))
        finally:
            gc.collect()

    def _train(self, task: RetrainTask) -> RetrainResult:
        rng = np.random.default_rng(task.training_seed)
        weights_rng = np.random.default_rng(task.weights_seed)
        graph = initial_weights(load_graph(task.source), rng=weights_rng)
        checkpoints = Checkpoints(
            task.checkpoint, training=_fingerprint(graph, task), interval=task.interval
        )
        state, remark = _state_to_resume(checkpoints)

        def keep(present: Callable[[], TrainingState]) -> None:
            kept = checkpoints.keep(present)
            if kept is not None:
                num, last = len(kept.losses), kept.losses[-1]
                print(f"{task.id}: epoch {num} of {self._settings.epochs}, loss {last:.4f}")

        model = training_model(graph, seed=int(rng.integers(2**31)))
        trained = fit(
            model,
            self._images,
            self._labels,
            epochs=self._settings.epochs,
            settings=self._settings,
            rng=rng,
            preparation=self._preparation,
            resume=state,
            on_epoch=keep,
        )
        result = RetrainResult(
            task.id,
            test_error=self._test_error(model),
            remark=remark,
            losses=trained.losses,
            resumed_at=0 if state is None else len(state.losses),
            seconds=checkpoints.seconds,
        )
        save_model(finite(read_weights(model, graph)), task.output, _record(task, result))
        return result

    def _out_of_memory(self, task: RetrainTask) -> str:
        graph = load_graph(task.source)
        batch_size = batch_of(self._settings, self._images.shape[0])
        return out_of_memory(batch_size, count_parameters(graph), count_multiply_adds(graph))

    def _test_error(self, model: keras.Model) -> float | None:
        if self._data.x_test is None:
            return None
        return error(
            backend().forward(model),
            self._data.x_test,
            self._data.y_test,
            batch_size=self._settings.evaluation_batch_size,
        )


def _fingerprint(graph: Graph, task: RetrainTask) -> str:
    """Return a digest of all that a training depends on."""
    seeds = [(seed.entropy, seed.spawn_key) for seed in (task.weights_seed, task.training_seed)]
    parts = [to_json(graph), dict(task.settings), seeds]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _state_to_resume(checkpoints: Checkpoints) -> tuple[TrainingState | None, str | None]:
    """Return the state of the checkpoint, and a remark if it is of no use."""
    try:
        return checkpoints.read(), None
    except CheckpointError as broken:
        return None, f"trained from the beginning, as {broken}"


def _record(task: RetrainTask, result: RetrainResult) -> dict[str, Any]:
    """Return the record of the network in the run, brought up to date.

    It has no validation error: the network was trained on the validation images.
    """
    record = load_record(task.source)
    objectives = {k: v for k, v in record.get("objectives", {}).items() if k != "error"}
    return {
        **record,
        "objectives": objectives,
        "test_error": result.test_error,
        "retrained": dict(task.settings),
    }
