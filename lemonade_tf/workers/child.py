"""Training one child, from its parent's file and its operators to its own file (Algorithm 1).

Load the parent, apply the operators, carry out their repairs, distill if an
operator is approximate, train, evaluate, save. The inputs are plain values, the data set and the
parent's file.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.text import from_json
from lemonade_tf.backends.base import Forward
from lemonade_tf.backends.batch_transform import NO_AUGMENTATION, BatchTransform
from lemonade_tf.backends.current import current_backend
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.inheritance.starts import carry_out_repairs, with_new_weights
from lemonade_tf.keras_bridge.files import load_graph
from lemonade_tf.keras_bridge.saving import save_model
from lemonade_tf.keras_bridge.weights import read_weights
from lemonade_tf.objectives.objective import ObjectiveError
from lemonade_tf.operators import Change, known_operators, replay
from lemonade_tf.operators.initial import inherited_weights, initial_weights
from lemonade_tf.training.distillation import distill, distillation_targets
from lemonade_tf.training.epsilon import EPSILON_IMAGES, epsilon
from lemonade_tf.training.evaluation import (
    error_on_test_images,
    error_rate,
    predict,
    ranked_error_rate,
    worst_classes,
)
from lemonade_tf.training.fit import FitResult, TrainingDiverged, check_finite, fit
from lemonade_tf.training.out_of_memory import (
    describe_out_of_memory,
    effective_batch_size,
    settings_to_try,
)
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.streaming import place_images, place_targets
from lemonade_tf.workers.measured_objectives import measure_on
from lemonade_tf.workers.tasks import ChildResult, ChildTask


def train_child(
    task: ChildTask,
    dataset: Dataset,
    settings: TrainingSettings,
    *,
    images: Any = None,
    transform: BatchTransform = NO_AUGMENTATION,
) -> ChildResult:
    """Create a child, train it, write its file, and return its error.

    A child that runs out of memory is retried once from the start, with the same seeds and half
    the batch size. If it runs out of memory again, or diverges, the result has a failure and there
    is no file.

    Args:
        task: The child.
        dataset: The images.
        settings: The training settings.
        images: The training images as `place_images` returned them, if it was called already.
        transform: Transform of each training batch.

    Raises:
        FileError: If the parent's file cannot be read.
        SiteError: If an operator does not apply to the parent.
    """
    images = place_images(dataset.x_train, None) if images is None else images
    start = time.perf_counter()
    first, *smaller = settings_to_try(settings, len(dataset.x_train))
    attempt = _Attempt(task, dataset, first, images, transform)
    fits = attempt.run()
    for reduced in smaller:
        if not fits:
            gc.collect()  # Keras models are reference cycles, and their memory is needed now
            attempt = _Attempt(task, dataset, reduced, images, transform)
            fits = attempt.run()
    attempt.seconds["total"] = time.perf_counter() - start
    return attempt.result()


class _Attempt:
    """An attempt to train a child; collects the facts of the result and the seconds of phases."""

    def __init__(
        self,
        task: ChildTask,
        dataset: Dataset,
        settings: TrainingSettings,
        images: Any,
        transform: BatchTransform,
    ) -> None:
        self.seconds: dict[str, float] = {}
        self._task, self._dataset, self._settings = task, dataset, settings
        self._images, self._transform = images, transform
        self._batch_size = effective_batch_size(settings, len(dataset.x_train))
        self._facts: dict[str, Any] = {"batch_size": self._batch_size}
        self._failure: str | None = None
        self._class_errors: list[list[int]] = []
        self._backend = current_backend()

    def run(self) -> bool:
        """Train the child, or record its failure; return whether memory was sufficient."""
        try:
            self._train_child()
        except TrainingDiverged as diverged:
            self._failure = f"diverged: {diverged}"
        except Exception as error:
            if not self._backend.is_out_of_memory(error):
                raise
            self._failure = describe_out_of_memory(
                self._batch_size,
                self._facts.get("parameters"),
                self._facts.get("multiply_adds"),
            )
            return False
        return True

    def result(self) -> ChildResult:
        """Return the result of the attempt."""
        facts = self._facts
        if self._failure is not None:  # perhaps after evaluation, by weights that are not finite
            facts = {key: value for key, value in facts.items() if "error" not in key}
        return ChildResult(self._task.id, failure=self._failure, seconds=self.seconds, **facts)

    def _train_child(self) -> None:
        # Two generators, so that the order of images does not depend on how many weights are new.
        rng = np.random.default_rng(self._task.training_seed)
        weights_rng = np.random.default_rng(self._task.weights_seed)
        with self._phase("load"):
            parent = self._parent(weights_rng)
        with self._phase("operators"):
            change = self._change(parent, weights_rng)
        graph = change.graph
        self._facts["parameters"] = count_parameters(graph)
        self._facts["multiply_adds"] = count_multiply_adds(graph)
        with self._phase("build"):
            model = self._backend.training_model(graph, seed=int(rng.integers(2**31)))
        forward = self._backend.forward(model)
        distilled = self._inherit(parent, change, model, forward, rng)
        with self._phase("train"):
            trained = self._train(model, rng)
        self._facts["distillation_losses"] = distilled.losses
        self._facts |= {"losses": trained.losses, "epochs": len(trained.losses)}
        self._record_speed(distilled, trained)
        with self._phase("evaluate"):
            self._evaluate(model, graph, forward)
        with self._phase("save"):
            self._save(check_finite(read_weights(model, graph)))

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - start

    def _parent(self, rng: np.random.Generator) -> Graph:
        task = self._task
        if task.architecture is None:
            return load_graph(task.parent_file)  # pyright: ignore[reportArgumentType] (one is set)
        graph = from_json(task.architecture)
        if task.parent_file is None:
            return initial_weights(graph, rng=rng)
        return inherited_weights(graph, load_graph(task.parent_file), rng=rng)

    def _change(self, parent: Graph, rng: np.random.Generator) -> Change:
        change = replay(parent, self._task.operators, rng=rng)
        if self._is_approximate and self._settings.approximate_start == "random":
            return with_new_weights(change, rng)
        return change

    @property
    def _is_approximate(self) -> bool:
        approximate = {operator.name for operator in known_operators() if not operator.exact}
        return any(r["operator"] in approximate for r in self._task.operators)

    def _inherit(
        self,
        parent: Graph,
        change: Change,
        model: keras.Model,
        forward: Forward,
        rng: np.random.Generator,
    ) -> FitResult:
        """Repair and distill the child; the parent's model is built only if it is needed."""

        @cache
        def parent_model() -> keras.Model:
            return self._backend.training_model(parent)

        settings = self._settings
        # Repairs come first: frozen batch norms use the statistics that repairs measure.
        with self._phase("repair"):
            carry_out_repairs(
                change,
                parent,
                parent_model,
                model,
                self._dataset.x_train,
                statistics_images=settings.statistics_images,
                fit_images=settings.fit_images if settings.approximate_start == "fitted" else None,
                rng=rng,
            )
        with self._phase("distill"):
            is_initial = self._task.architecture is not None  # its parent may have new weights
            if is_initial or not self._is_approximate or not settings.distillation_epochs:
                return FitResult()
            return self._distill(parent, parent_model(), change, model, forward, rng)

    def _distill(
        self,
        parent: Graph,
        parent_model: keras.Model,
        change: Change,
        model: keras.Model,
        forward: Forward,
        rng: np.random.Generator,
    ) -> FitResult:
        x_train, settings = self._dataset.x_train, self._settings
        targets = distillation_targets(
            parent, parent_model, change, model, x_train, self._images, settings
        )
        some = rng.permutation(len(x_train))[:EPSILON_IMAGES]  # the same ones before and after

        def measure_epsilon() -> dict[str, float]:
            size = settings.evaluation_batch_size
            return epsilon(targets.teacher[some], predict(forward, x_train[some], batch_size=size))

        before = measure_epsilon()
        result = distill(targets, change.distilled, settings=settings, rng=rng)
        self._facts["epsilon"] = {"before": before, "after": measure_epsilon()}
        return result

    def _train(self, model: keras.Model, rng: np.random.Generator) -> FitResult:
        return fit(
            model,
            self._images,
            place_targets(self._dataset.y_train, self._images),
            epochs=self._settings.epochs,
            settings=self._settings,
            rng=rng,
            transform=self._transform,
        )

    def _record_speed(self, distilled: FitResult, trained: FitResult) -> None:
        """Separate compiling and waiting from steps, and record the speed of the steps."""
        for phase, result in (("distill", distilled), ("train", trained)):
            self.seconds[phase] -= result.seconds_compiling + result.seconds_waiting
        self.seconds["compile"] = distilled.seconds_compiling + trained.seconds_compiling
        self.seconds["wait"] = distilled.seconds_waiting + trained.seconds_waiting
        num_images = distilled.num_images + trained.num_images
        steps = distilled.seconds + trained.seconds - self.seconds["compile"] - self.seconds["wait"]
        self._facts["num_images"] = num_images
        self._facts["images_per_second"] = num_images / steps if num_images else None

    def _evaluate(self, model: keras.Model, graph: Graph, forward: Forward) -> None:
        """Evaluate the trained model, whose inference equals that of the file bit for bit."""
        data, size = self._dataset, self._settings.evaluation_batch_size
        probabilities = predict(forward, data.x_validation, batch_size=size)
        self._facts["error"] = error_rate(probabilities, data.y_validation)
        self._facts["ranked_error"] = ranked_error_rate(probabilities, data.y_validation)
        self._class_errors = worst_classes(probabilities, data.y_validation)
        self._facts["test_error"] = error_on_test_images(forward, data, batch_size=size)
        self._facts["measured"] = {}
        if self._task.objectives:
            trained = check_finite(read_weights(model, graph))
            self._facts["measured"] = self._measure(trained, probabilities)

    def _measure(self, graph: Graph, probabilities: np.ndarray) -> dict[str, float]:
        """Measure the requested objectives besides the error."""
        try:
            return measure_on(self._dataset, self._task.objectives, graph, probabilities)
        except ObjectiveError as failed:
            cause = failed.__cause__
            if isinstance(cause, Exception) and self._backend.is_out_of_memory(cause):
                raise cause from None
            raise

    def _save(self, graph: Graph) -> None:
        objectives = {k: self._facts[k] for k in ("error", "parameters", "multiply_adds")}
        objectives |= self._facts["measured"]
        record = {
            "id": self._task.id,
            "operators": list(self._task.operators),
            "objectives": objectives,
            "test_error": self._facts["test_error"],
            "class_errors": self._class_errors,
            **({} if self._task.dataset is None else {"dataset": self._task.dataset}),
            **self._dataset.in_files(),
            **self._task.record,
        }
        save_model(graph, self._task.output, record)
