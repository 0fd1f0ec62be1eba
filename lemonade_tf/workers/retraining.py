"""Training one network of a front from scratch (A.4.4), from its architecture to a test error.

"All models are trained from scratch on the training and validation set": the weights are new, the
validation images are trained on, and the test images measure the error. Training takes hours and
may be interrupted, so it writes checkpoints; a resumed training ends with exactly the same weights
as an uninterrupted one.
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
from lemonade_tf.architecture.regularization import NO_REGULARIZATION, Regularization
from lemonade_tf.architecture.text import from_json, to_json
from lemonade_tf.backends.current import current_backend
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.source import DatasetSource
from lemonade_tf.keras_bridge.files import load_graph, load_record
from lemonade_tf.keras_bridge.saving import save_model
from lemonade_tf.keras_bridge.weights import read_weights
from lemonade_tf.operators.initial import inherited_weights, initial_weights
from lemonade_tf.training.augmentation import augmentation_for
from lemonade_tf.training.checkpoints import CheckpointError, Checkpoints
from lemonade_tf.training.evaluation import errors_on_test_images
from lemonade_tf.training.fit import (
    FitResult,
    TrainingDiverged,
    TrainingState,
    check_finite,
    fit,
)
from lemonade_tf.training.out_of_memory import describe_out_of_memory, effective_batch_size
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.streaming import place_images, place_targets
from lemonade_tf.workers.retraining_task import RetrainResult, RetrainTask

Announce = Callable[[RetrainTask, Graph, TrainingState | None], None]
OnEpoch = Callable[[Callable[[], TrainingState]], None]


def setup_retraining(
    source: DatasetSource,
    settings: TrainingSettings,
    *,
    threads: int | None = None,
    strategy: str = "one_per_gpu",
    device_memory: float | None = None,
) -> Callable[[RetrainTask], RetrainResult]:
    """Set up this process for training from scratch, and return the function that does it.

    Args:
        source: Where to get the data set from, whose training images include those for validation
            (see `with_validation_images`). Networks are trained on the first.
        settings: The training settings.
        threads: CPU threads per operation; results depend on it in the last digits.
        strategy: On which devices it trains a network; see `Backend.set_up`.
        device_memory: Gigabytes of the device's memory for the images; None for no limit.

    Raises:
        DatasetError: If the data set cannot be read.
        ValueError: If the augmentation does not fit its images.
    """
    current_backend().set_up(threads, strategy)
    data, _ = source.load()
    return Retrainer(data, settings, device_memory=device_memory)


class Retrainer:
    """Trains networks from scratch on one data set; its images stay on the device, or stream.

    Args:
        data: The images; those for training include those for validation.
        settings: The training settings. Augmentation fills with the mean of the training images
            alone, the color that the network's `Rescaling` maps to 0.
        device_memory: Gigabytes of the device's memory for the images; None for no limit.
        announce: Called before each training with its task, the network and the state to resume.
    """

    def __init__(
        self,
        data: Dataset,
        settings: TrainingSettings,
        *,
        device_memory: float | None = None,
        announce: Announce | None = None,
    ) -> None:
        self._announce = announce
        self._data, self._settings = data, settings
        self._transform = augmentation_for(data, settings)
        self._backend = current_backend()
        device_bytes = None if device_memory is None else device_memory * 1e9
        self._images = place_images(data.x_train, device_bytes)
        self._labels = place_targets(data.y_train, self._images)

    def __call__(self, task: RetrainTask) -> RetrainResult:
        """Train a network, write its file, and return its test error.

        If the network diverges, runs out of memory or cannot be written, the result has a failure
        and there is no file. The checkpoint remains: the caller removes it once the result is
        recorded.

        Raises:
            FileError: If the network's file in the run cannot be read.
        """
        try:
            return self._train(task)
        except TrainingDiverged as diverged:
            return RetrainResult(task.id, failure=f"diverged: {diverged}", diverged=True)
        except OSError as error:
            path = error.filename or f"{task.output} or its checkpoint"
            return RetrainResult(
                task.id, failure=f"{path} cannot be used: {error.strerror or error}."
            )
        except Exception as error:
            if not self._backend.is_out_of_memory(error):
                raise
            return RetrainResult(task.id, failure=self._describe_out_of_memory(task))
        finally:
            gc.collect()

    def _train(self, task: RetrainTask) -> RetrainResult:
        rng = np.random.default_rng(task.training_seed)
        weights_rng = np.random.default_rng(task.weights_seed)
        graph = _start(task, weights_rng)
        checkpoints = Checkpoints(
            task.checkpoint, training=_fingerprint(graph, task), interval=task.interval
        )
        state, remark = _state_to_resume(checkpoints)
        if self._announce is not None:
            self._announce(task, graph, state)

        def write_checkpoint(present: Callable[[], TrainingState]) -> None:
            written = checkpoints.write_if_due(present)
            if written is not None:
                num, last = len(written.losses), written.losses[-1]
                print(f"{task.id}: epoch {num} of {self._settings.epochs}, loss {last:.4f}")

        regularization = Regularization.of(task.settings)
        model, trained = self.fit(graph, rng, state, write_checkpoint, regularization)
        size = self._settings.evaluation_batch_size
        test_error, top5_error = errors_on_test_images(
            self._backend.forward(model), self._data, batch_size=size
        )
        result = RetrainResult(
            task.id,
            test_error=test_error,
            test_top5_error=top5_error,
            remark=remark,
            losses=trained.losses,
            resumed_at=0 if state is None else len(state.losses),
            seconds=checkpoints.seconds,
        )
        record = {**_record(task, result), **self._data.in_files()}
        save_model(check_finite(read_weights(model, graph)), task.output, record)
        return result

    def fit(
        self,
        graph: Graph,
        rng: np.random.Generator,
        state: TrainingState | None = None,
        on_epoch: OnEpoch | None = None,
        regularization: Regularization = NO_REGULARIZATION,
    ) -> tuple[keras.Model, FitResult]:
        """Train a network in this process only.

        Args:
            graph: The network, with new weights.
            rng: Draws the order of the images, augmentation, and the seed of dropout and of
                regularization.
            state: State to resume from, that of `rng` included.
            on_epoch: See `training.fit.fit`.
            regularization: What acts on the branches of the network.
        """
        num_images, epochs = self._labels.shape[0], self._settings.epochs
        batch_size = effective_batch_size(self._settings, num_images)
        model = self._backend.training_model(
            graph,
            seed=int(rng.integers(2**31)),
            regularization=regularization,
            num_steps=epochs * (num_images // batch_size),
        )
        trained = fit(
            model,
            self._images,
            self._labels,
            epochs=epochs,
            settings=self._settings,
            rng=rng,
            transform=self._transform,
            resume=state,
            on_epoch=on_epoch,
        )
        return model, trained

    def _describe_out_of_memory(self, task: RetrainTask) -> str:
        graph = _architecture(task)
        batch_size = effective_batch_size(self._settings, self._images.shape[0])
        return describe_out_of_memory(
            batch_size, count_parameters(graph), count_multiply_adds(graph)
        )


def _architecture(task: RetrainTask) -> Graph:
    """Return the network of a task; its weights are not used."""
    if task.architecture is not None:
        return from_json(task.architecture)
    return load_graph(task.source or "")


def _start(task: RetrainTask, rng: np.random.Generator) -> Graph:
    """Return the network of a task with the weights that training starts from."""
    graph = _architecture(task)
    if task.architecture is not None and task.source is not None:
        return inherited_weights(graph, load_graph(task.source), rng=rng)
    return initial_weights(graph, rng=rng)


def _fingerprint(graph: Graph, task: RetrainTask) -> str:
    """Return a digest of everything that a training depends on."""
    seeds = [(seed.entropy, seed.spawn_key) for seed in (task.weights_seed, task.training_seed)]
    parts = [to_json(graph), dict(task.settings), seeds]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _state_to_resume(checkpoints: Checkpoints) -> tuple[TrainingState | None, str | None]:
    """Return the state in the checkpoint, and a remark if it is unusable."""
    try:
        return checkpoints.read(), None
    except CheckpointError as unusable:
        return None, f"trained from the start because {unusable}"


def _record(task: RetrainTask, result: RetrainResult) -> dict[str, Any]:
    """Return the record of the network in the run, updated.

    It has no validation error, because the network was trained on the validation images.
    """
    record = dict(task.record) if task.source is None else load_record(task.source)
    for of_dataset in ("class_names", "class_errors"):  # perhaps of another data set
        record.pop(of_dataset, None)
    objectives = {k: v for k, v in record.get("objectives", {}).items() if k != "error"}
    return {
        **record,
        "objectives": objectives,
        "test_error": result.test_error,
        "test_top5_error": result.test_top5_error,
        "retrained": dict(task.settings),
    }
