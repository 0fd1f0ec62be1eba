"""One child, from its parent's file and its operators to its own file (Algorithm 1, line 14).

Load the parent, apply the operators, fit and measure what they left to be, distill if one of them
is approximate, train, evaluate, save. This is all that a worker does, and needs nothing but
plain values, the data set and the parent's file.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.text import from_json
from lemonade_tf.backends.base import Forward, backend
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.inheritance.starts import carry_out_repairs, with_new_weights
from lemonade_tf.keras_bridge.files import load_graph
from lemonade_tf.keras_bridge.graph_to_model import to_keras
from lemonade_tf.keras_bridge.saving import save_model
from lemonade_tf.keras_bridge.weights import read_weights
from lemonade_tf.objectives import ObjectiveError
from lemonade_tf.operators import OPERATORS, Change, replay
from lemonade_tf.operators.initial import inherited_weights, initial_weights
from lemonade_tf.training.batch_transform import NO_AUGMENTATION, BatchTransform
from lemonade_tf.training.distillation import distill, prepare_lesson
from lemonade_tf.training.epsilon import EPSILON_IMAGES, epsilon
from lemonade_tf.training.evaluation import error, predict, share_wrong
from lemonade_tf.training.fit import FitResult, TrainingDiverged, finite, fit
from lemonade_tf.training.out_of_memory import attempts, batch_of, out_of_memory
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.measured_objectives import measure_on
from lemonade_tf.workers.tasks import ChildResult, ChildTask

_APPROXIMATE_NAMES = frozenset(operator.name for operator in OPERATORS if not operator.exact)


def train_child(
    task: ChildTask,
    dataset: Dataset,
    settings: TrainingSettings,
    *,
    images: Any = None,
    preparation: BatchTransform = NO_AUGMENTATION,
) -> ChildResult:
    """Make a child, train it, write its file, and return its error.

    A child for which the memory does not suffice is made once more, from the beginning and with
    the same seeds, with half as many images at a time. One for which that is too much as well, or
    which diverges, is a result with a failure, and no file.

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
    start = time.perf_counter()
    for attempt in attempts(settings, len(dataset.x_train)):
        making = _Making(task, dataset, attempt, images, preparation)
        if making.fits():
            break
        gc.collect()  # models hold themselves, and with them the memory that is needed now
    making.seconds["total"] = time.perf_counter() - start
    return making.result()


class _Making:
    """A child in the making: its facts, the seconds of its phases so far, or why it failed."""

    def __init__(
        self,
        task: ChildTask,
        dataset: Dataset,
        settings: TrainingSettings,
        images: Any,
        preparation: BatchTransform,
    ) -> None:
        self.task, self.dataset, self.settings = task, dataset, settings
        self.images, self.preparation = images, preparation
        self.facts: dict[str, Any] = {"batch_size": batch_of(settings, len(dataset.x_train))}
        self.seconds: dict[str, float] = {}
        self.failure: str | None = None
        self._forward: Forward | None = None  # the child's, and
        self._parent_model: keras.Model | None = None  # both made once, where they are needed

    def fits(self) -> bool:
        """Make the child, or say why there is none; return whether the memory sufficed."""
        try:
            self._make()
        except TrainingDiverged as diverged:
            self.failure = f"diverged: {diverged}"
        except Exception as error:
            if not backend().is_out_of_memory(error):
                raise
            size = (self.facts.get(key) for key in ("batch_size", "parameters", "multiply_adds"))
            self.failure = out_of_memory(*size)
            return False
        finally:
            self._forward = self._parent_model = None  # what they hold may be needed at once
        return True

    def result(self) -> ChildResult:
        """Return what became of the child."""
        facts = self.facts
        if self.failure is not None:
            facts = {key: value for key, value in facts.items() if "error" not in key}
        return ChildResult(self.task.id, failure=self.failure, seconds=self.seconds, **facts)

    def _make(self) -> None:
        rng = np.random.default_rng(self.task.training_seed)
        weights_rng = np.random.default_rng(self.task.weights_seed)
        with self._phase("load"):
            parent = self._parent(weights_rng)
        with self._phase("operators"):
            change = self._change(parent, weights_rng)
        graph = change.graph
        self.facts["parameters"] = count_parameters(graph)
        self.facts["multiply_adds"] = count_multiply_adds(graph)
        with self._phase("build"):
            model = training_model(graph, seed=int(rng.integers(2**31)))
        self._forward = backend().forward(model)
        settings = self.settings
        with self._phase("repair"):
            carry_out_repairs(
                change,
                parent,
                partial(self._model_of, parent),
                model,
                self.dataset.x_train,
                statistics_images=settings.statistics_images,
                fit_images=settings.fit_images if settings.approximate_start == "fitted" else None,
                rng=rng,
            )
        with self._phase("distill"):
            distilled = self._distill(parent, change, model, rng)
        self._parent_model = None
        with self._phase("train"):
            trained = self._train(model, rng)
        self.facts["distillation_losses"] = distilled.losses
        self.facts |= {"losses": trained.losses, "epochs": len(trained.losses)}
        self._note_speed(distilled, trained)
        with self._phase("evaluate"):
            self._evaluate(model, graph)
        with self._phase("save"):
            self._save(finite(read_weights(model, graph)))

    def _note_speed(self, distilled: FitResult, trained: FitResult) -> None:
        """Tell compiling from steps in the seconds, and say how fast these were."""
        self.seconds["distill"] -= distilled.seconds_compiling
        self.seconds["train"] -= trained.seconds_compiling
        self.seconds["compile"] = distilled.seconds_compiling + trained.seconds_compiling
        num_images = distilled.num_images + trained.num_images
        steps = distilled.seconds + trained.seconds - self.seconds["compile"]
        self.facts["num_images"] = num_images
        self.facts["images_per_second"] = num_images / steps if num_images else None

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

    def _change(self, parent: Graph, rng: np.random.Generator) -> Change:
        change = replay(parent, self.task.operators, rng=rng)
        if self._approximate and self.settings.approximate_start == "random":
            return with_new_weights(change, rng)
        return change

    @property
    def _approximate(self) -> bool:
        return any(r["operator"] in _APPROXIMATE_NAMES for r in self.task.operators)

    def _model_of(self, parent: Graph) -> keras.Model:
        if self._parent_model is None:
            self._parent_model = training_model(parent)
        return self._parent_model

    def _distill(
        self, parent: Graph, change: Change, model: keras.Model, rng: np.random.Generator
    ) -> FitResult:
        if not self._approximate or not self.settings.distillation_epochs:
            return FitResult()
        x_train, settings = self.dataset.x_train, self.settings
        teacher = self._model_of(parent)
        lesson = prepare_lesson(parent, teacher, change, model, x_train, self.images, settings)
        some = rng.permutation(len(x_train))[:EPSILON_IMAGES]
        before = self._epsilon(lesson.teacher, some)
        result = distill(lesson, change.affected, settings=settings, rng=rng)
        self.facts["epsilon"] = {"before": before, "after": self._epsilon(lesson.teacher, some)}
        return result

    def _epsilon(self, teacher: np.ndarray, some: np.ndarray) -> dict[str, float]:
        size = self.settings.evaluation_batch_size
        student = predict(self._forward, self.dataset.x_train[some], batch_size=size)
        return epsilon(teacher[some], student)

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

    def _evaluate(self, model: keras.Model, graph: Graph) -> None:
        """Evaluate the trained model, which in inference computes the bits that the file does."""
        data, forward = self.dataset, self._forward
        size = self.settings.evaluation_batch_size
        probabilities = predict(forward, data.x_validation, batch_size=size)
        self.facts["error"] = share_wrong(probabilities, data.y_validation)
        self.facts["test_error"] = None
        if data.x_test is not None:
            self.facts["test_error"] = error(forward, data.x_test, data.y_test, batch_size=size)
        self.facts["measured"] = {}
        if self.task.objectives:
            of_file = finite(read_weights(model, graph))
            self.facts["measured"] = self._measure(of_file, probabilities)

    def _measure(self, graph: Graph, probabilities: np.ndarray) -> dict[str, float]:
        """Return the objectives that are asked for beside the error."""
        try:
            return measure_on(self.dataset, self.task.objectives, graph, probabilities)
        except ObjectiveError as failed:
            cause = failed.__cause__
            if isinstance(cause, Exception) and backend().is_out_of_memory(cause):
                raise cause from None
            raise

    def _save(self, graph: Graph) -> None:
        objectives = {k: self.facts[k] for k in ("error", "parameters", "multiply_adds")}
        objectives |= self.facts["measured"]
        record = {
            "id": self.task.id,
            "operators": list(self.task.operators),
            "objectives": objectives,
            "test_error": self.facts["test_error"],
            **({} if self.task.data is None else {"data": self.task.data}),
            **self.task.record,
        }
        save_model(graph, self.task.output, record)


def training_model(graph: Graph, seed: int | None = None) -> keras.Model:
    """Return the model of a graph that is trained: logits, and its convex sums can learn."""
    fused = keras.backend.backend() == "tensorflow"
    return to_keras(graph, learnable=True, fused=fused, logits=True, seed=seed)
