"""Distillation: what an approximate operator changed learns to do what the parent did (A.1).

The child minimises, over the training images, the cross-entropy between the parent's softmax and
its own. Only the weights of the affected nodes are trained; all others stay bit for bit what they
were, the moving statistics of batch normalization included.

Before the first affected node, child and parent are the same, and nothing is trained there. What
that part puts out is computed once, for both and for all epochs, if it is something to compute
and its values fit into the memory set aside for them. (`keras.distillation` runs teacher and
student whole in every step.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import layer_multiply_adds
from lemonade_tf.architecture.shared import SharedPart, shared_part
from lemonade_tf.backends.base import backend
from lemonade_tf.keras_bridge.split import split
from lemonade_tf.operators import Change
from lemonade_tf.training.evaluation import batches, predict
from lemonade_tf.training.fit import FitResult, TrainingDiverged, fit
from lemonade_tf.training.settings import TrainingSettings

_BYTES = 2 * 4  # of a value of the shared part: float32, on the host and on the device


@dataclass(frozen=True, eq=False)
class DistillationTargets:
    """What a child is taught.

    Attributes:
        teacher: (n, classes) float32, the parent's probabilities for the training images.
        student: The child, or what of it is not shared with the parent, putting out logits.
        inputs: What the student reads, on the device.
        shared: The nodes whose output was computed once for both; empty if none was.
    """

    teacher: np.ndarray
    student: keras.Model
    inputs: Any
    shared: frozenset[str] = frozenset()


def prepare_lesson(
    parent: Graph,
    parent_model: keras.Model,
    change: Change,
    model: keras.Model,
    x_train: np.ndarray,
    images: Any,
    settings: TrainingSettings,
) -> DistillationTargets:
    """Compute what does not change while a child is distilled.

    Args:
        parent: The parent.
        parent_model: Its model, putting out logits.
        change: The change of the parent that made the child.
        model: The child's model, putting out logits.
        x_train: (n, height, width, channels), raw pixels.
        images: The same on the device.
        settings: How to train.
    """
    size = settings.evaluation_batch_size
    part = shared_part(parent, change.graph, changing=change.affected)
    if not _worth_keeping(part, parent, len(x_train), settings):
        teacher = predict(backend().forward(parent_model), x_train, batch_size=size)
        return DistillationTargets(teacher, model, images)
    shared, rest = split(parent_model, part.boundary)
    values = _outputs(shared, x_train, size)
    teacher = predict(backend().forward(rest), _as_read(values), batch_size=size)
    _, student = split(model, part.boundary)
    inputs = [backend().place(array) for array in values]
    return DistillationTargets(teacher, student, _as_read(inputs), part.nodes)


def _worth_keeping(
    part: SharedPart, parent: Graph, num_images: int, settings: TrainingSettings
) -> bool:
    """Return whether a shared part has something to compute, and its values fit into memory."""
    nothing_to_compute = not any(_multiply_adds(parent, name) for name in part.nodes)
    if nothing_to_compute or parent.output in part.nodes:
        return False
    needed = part.num_values(parent) * num_images * _BYTES
    return needed <= settings.distillation_memory * 2**30


def _multiply_adds(graph: Graph, name: str) -> int:
    return layer_multiply_adds(graph[name].layer, graph.shapes()[name], *graph.input_shapes(name))


def _as_read(values: list[Any]) -> Any:
    """Return values as a model takes them: without a list, where there is but one."""
    return values[0] if len(values) == 1 else values


def _outputs(model: keras.Model, images: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return what a model puts out for all images, each (n, ...)."""
    forward, start = backend().forward(model), 0
    values = [np.empty((len(images), *t.shape[1:]), np.float32) for t in model.outputs]
    for batch in batches(images, batch_size):
        for whole, part in zip(values, forward.outputs(batch), strict=True):
            whole[start : start + len(part)] = part
        start += len(batch)
    return values


def distill(
    lesson: DistillationTargets,
    affected: Collection[str],
    *,
    settings: TrainingSettings,
    rng: np.random.Generator,
) -> FitResult:
    """Train the affected layers of a child on the parent's probabilities.

    Args:
        lesson: What it is taught.
        affected: The names of the nodes to train; where none has weights nothing is done.
        settings: How to train.
        rng: Draws the order of the images.

    Raises:
        TrainingDiverged: A loss is not finite; the message says that it was in distillation.
    """
    with only_trainable(lesson.student, affected):
        if not lesson.student.trainable_variables:
            return FitResult()
        try:
            return fit(
                lesson.student,
                lesson.inputs,
                backend().place(lesson.teacher),
                epochs=settings.distillation_epochs,
                settings=replace(settings, learning_rate=settings.distillation_learning_rate),
                rng=rng,
            )
        except TrainingDiverged as diverged:
            raise TrainingDiverged(
                f"in distillation, {str(diverged).rstrip('.')} (--distillation_learning_rate)."
            ) from None


@contextmanager
def only_trainable(model: keras.Model, names: Collection[str]) -> Iterator[None]:
    """Freeze all layers but those named; a frozen batch normalization is in inference."""
    frozen = [layer for layer in model.layers if layer.name not in names and layer.trainable]
    for layer in frozen:
        layer.trainable = False
    try:
        yield
    finally:
        for layer in frozen:
            layer.trainable = True
