"""One child, from its parent's file and its operators to its own file (Algorithm 1, line 14).

Load the parent, apply the operators, measure what they left to be measured, distill if one of
them is approximate, train, evaluate, save. This is all that a worker does, and needs nothing but
plain values, the data set and the parent's file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.text import from_json
from lemonade_tf.keras_bridge.files import load_graph
from lemonade_tf.keras_bridge.graph_to_model import to_keras
from lemonade_tf.keras_bridge.saving import save_model
from lemonade_tf.keras_bridge.weights import read_weights
from lemonade_tf.operators import OPERATORS, replay
from lemonade_tf.operators.initial import inherited_weights, initial_weights
from lemonade_tf.training.datasets import Dataset
from lemonade_tf.training.distillation import distill
from lemonade_tf.training.evaluate import error, predict
from lemonade_tf.training.fit import FitResult, TrainingDiverged, finite, fit
from lemonade_tf.training.preparation import AS_THEY_ARE, Preparation
from lemonade_tf.training.repairs import measure_statistics, num_images_to_measure
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.step import backend
from lemonade_tf.training.task import ChildResult, ChildTask

_APPROXIMATE_NAMES = frozenset(operator.name for operator in OPERATORS if not operator.exact)


def train_child(
    task: ChildTask,
    dataset: Dataset,
    settings: TrainingSettings,
    *,
    images: Any = None,
    preparation: Preparation = AS_THEY_ARE,
) -> ChildResult:
    """Make a child, train it, write its file, and return its error.

    A child that diverges or does not fit into memory is a result with a failure, and no file.

    Args:
        task: The child.
        dataset: The images.
        settings: How to train.
        images: The training images on the device, if they are there already.
        preparation: What happens to a batch first.

    Raises:
        FileError: The parent's file cannot be read.
        SiteError: An operator does not apply to the parent.
    """
    images = backend().place(dataset.x_train) if images is None else images
    making = _Making(task, dataset, settings, images, preparation)
    start = time.perf_counter()
    failure = None
    try:
        making.run()
    except TrainingDiverged as diverged:
        failure = f"diverged: {diverged}"
    except (MemoryError, *backend().out_of_memory):
        failure = f"out of memory, with {making.facts.get('parameters')} parameters."
    making.seconds["total"] = time.perf_counter() - start
    facts = {k: v for k, v in making.facts.items() if failure is None or "error" not in k}
    return ChildResult(task.id, failure=failure, seconds=making.seconds, **facts)


class _Making:
    """A child in the making: its facts and the seconds of its phases so far."""

    def __init__(
        self,
        task: ChildTask,
        dataset: Dataset,
        settings: TrainingSettings,
        images: Any,
        preparation: Preparation,
    ) -> None:
        self.task, self.dataset, self.settings = task, dataset, settings
        self.images, self.preparation = images, preparation
        self.facts: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        rng = np.random.default_rng(self.task.training_seed)
        weights_rng = np.random.default_rng(self.task.weights_seed)
        with self._phase("load"):
            parent = self._parent(weights_rng)
        with self._phase("operators"):
            change = replay(parent, self.task.operators, rng=weights_rng)
        graph = change.graph
        self.facts["parameters"] = count_parameters(graph)
        self.facts["multiply_adds"] = count_multiply_adds(graph)
        with self._phase("build"):
            model = training_model(graph, seed=int(rng.integers(2**31)))
        with self._phase("repair"):
            self._repair(change.repairs, graph, model, rng)
        with self._phase("distill"):
            distilled = self._distill(parent, change.affected, model, rng)
        with self._phase("train"):
            trained = self._train(model, rng)
        self.facts["distillation_losses"] = distilled.losses
        self.facts |= {"losses": trained.losses, "epochs": len(trained.losses)}
        self.facts["num_images"] = distilled.num_images + trained.num_images
        with self._phase("evaluate"):
            self._evaluate(model)
        with self._phase("save"):
            self._save(finite(read_weights(model, graph)))

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - start

    def _parent(self, rng: np.random.Generator) -> Graph:
        if self.task.architecture is None:
            return load_graph(self.task.parent_file)
        graph = from_json(self.task.architecture)
        if self.task.parent_file is None:
            return initial_weights(graph, rng=rng)
        return inherited_weights(graph, load_graph(self.task.parent_file), rng=rng)

    def _repair(
        self, repairs: Any, graph: Graph, model: keras.Model, rng: np.random.Generator
    ) -> None:
        if repairs:
            most = num_images_to_measure(graph, self.settings.statistics_images)
            chosen = rng.permutation(len(self.dataset.x_train))[:most]
            measure_statistics(repairs, graph, model, self.dataset.x_train[chosen])

    def _distill(
        self, parent: Graph, affected: Any, model: keras.Model, rng: np.random.Generator
    ) -> FitResult:
        approximate = any(r["operator"] in _APPROXIMATE_NAMES for r in self.task.operators)
        if not approximate or not self.settings.distillation_epochs:
            return FitResult()
        forward = backend().forward(training_model(parent))
        teacher = predict(
            forward, self.dataset.x_train, batch_size=self.settings.evaluation_batch_size
        )
        return distill(model, affected, self.images, teacher, settings=self.settings, rng=rng)

    def _train(self, model: keras.Model, rng: np.random.Generator) -> FitResult:
        return fit(
            model,
            self.images,
            backend().place(self.dataset.y_train),
            epochs=self.settings.epochs,
            settings=self.settings,
            rng=rng,
            preparation=self.preparation,
        )

    def _evaluate(self, model: keras.Model) -> None:
        """Evaluate the trained model, which in inference computes the bits that the file does."""
        data, forward = self.dataset, backend().forward(model)
        size = self.settings.evaluation_batch_size
        self.facts["error"] = error(forward, data.x_validation, data.y_validation, batch_size=size)
        self.facts["test_error"] = None
        if data.x_test is not None:
            self.facts["test_error"] = error(forward, data.x_test, data.y_test, batch_size=size)

    def _save(self, graph: Graph) -> None:
        objectives = {k: self.facts[k] for k in ("error", "parameters", "multiply_adds")}
        record = {
            "id": self.task.id,
            "operators": list(self.task.operators),
            "objectives": objectives,
            "test_error": self.facts["test_error"],
            **self.task.record,
        }
        save_model(graph, self.task.output, record)


def training_model(graph: Graph, seed: int | None = None) -> keras.Model:
    """Return the model of a graph that is trained: logits, and its convex sums can learn."""
    fused = keras.backend.backend() == "tensorflow"
    return to_keras(graph, learnable=True, fused=fused, logits=True, seed=seed)
