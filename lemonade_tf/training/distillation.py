"""Distillation: the nodes that an approximate operator changed learn from the parent (A.1).

The child minimizes, over the training images, the cross-entropy between the parent's softmax and
its own. Only the weights of the nodes that approximate operators affected are trained; all others,
including what only exact operators changed, and the moving statistics of batch normalization, stay
unchanged bit for bit.

Up to the first affected node, child and parent are equal and nothing is trained. The outputs of
that shared part are computed once, for both networks and all epochs, if the part computes anything
and its outputs fit into the memory set aside for them. (`keras.distillation` runs teacher and
student completely in every step.)
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
from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge.split import split
from lemonade_tf.operators import Change
from lemonade_tf.training.evaluation import batches, predict
from lemonade_tf.training.fit import FitResult, TrainingDiverged, fit
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.streaming import place_targets

_BYTES = 2 * 4  # per output of the shared part: float32, on the host and on the device


@dataclass(frozen=True, eq=False)
class DistillationTargets:
    """What a child learns in distillation.

    Attributes:
        teacher: (n, classes) float32, the parent's probabilities for the training images.
        student: The child, or the part of it that is not shared with the parent; outputs logits.
        inputs: The inputs of the student, on the device or as `StreamedImages`.
        shared: Nodes whose outputs were computed once for both networks; may be empty.
    """

    teacher: np.ndarray
    student: keras.Model
    inputs: Any
    shared: frozenset[str] = frozenset()


def distillation_targets(
    parent: Graph,
    parent_model: keras.Model,
    change: Change,
    model: keras.Model,
    x_train: np.ndarray,
    images: Any,
    settings: TrainingSettings,
) -> DistillationTargets:
    """Compute everything that stays constant while a child is distilled.

    Args:
        parent: The parent.
        parent_model: The model of the parent; outputs logits.
        change: The change of the parent that created the child.
        model: The model of the child; outputs logits.
        x_train: (n, height, width, channels), raw pixels.
        images: The same images as `place_images` returned them.
        settings: The training settings.
    """
    size = settings.evaluation_batch_size
    backend = current_backend()
    part = shared_part(parent, change.graph, changing=change.affected)
    if not _is_worth_caching(part, parent, len(x_train), settings):
        teacher = predict(backend.forward(parent_model), x_train, batch_size=size)
        return DistillationTargets(teacher, model, images)
    shared, rest = split(parent_model, part.boundary)
    values = _outputs(shared, x_train, size)
    teacher = predict(backend.forward(rest), _as_inputs(values), batch_size=size)
    _, student = split(model, part.boundary)
    inputs = [backend.place(array) for array in values]
    return DistillationTargets(teacher, student, _as_inputs(inputs), part.nodes)


def _is_worth_caching(
    part: SharedPart, parent: Graph, num_images: int, settings: TrainingSettings
) -> bool:
    """Return whether a shared part computes anything and its outputs fit into memory."""
    # A part without multiply-adds, such as the rescaling of images, costs next to nothing to
    # compute, and as much memory as the images to cache.
    nothing_to_compute = not any(_multiply_adds(parent, name) for name in part.nodes)
    if nothing_to_compute or parent.output in part.nodes:
        return False
    needed = part.num_values(parent) * num_images * _BYTES
    return needed <= settings.distillation_memory * 2**30


def _multiply_adds(graph: Graph, name: str) -> int:
    return layer_multiply_adds(graph[name].layer, graph.shapes()[name], *graph.input_shapes(name))


def _as_inputs(values: list[Any]) -> Any:
    """Return values in the form in which a model takes them: a single one without a list."""
    return values[0] if len(values) == 1 else values


def _outputs(model: keras.Model, images: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return the outputs of a model for all images, each (n, ...)."""
    forward, start = current_backend().forward(model), 0
    # Filled batch by batch: concatenating the batches would need twice the memory.
    values = [np.empty((len(images), *t.shape[1:]), np.float32) for t in model.outputs]
    for batch in batches(images, batch_size):
        for whole, part in zip(values, forward.outputs(batch), strict=True):
            whole[start : start + len(part)] = part
        start += len(batch)
    return values


def distill(
    targets: DistillationTargets,
    names: Collection[str],
    *,
    settings: TrainingSettings,
    rng: np.random.Generator,
) -> FitResult:
    """Train layers of a child on the parent's probabilities.

    Args:
        targets: Student, its inputs, and the probabilities.
        names: Of the nodes to train; if none has weights, nothing is trained.
        settings: The training settings.
        rng: Draws the order of the images.

    Raises:
        TrainingDiverged: If a loss is not finite; the message names distillation.
    """
    with only_trainable(targets.student, names):
        if not targets.student.trainable_variables:
            return FitResult()
        try:
            return fit(
                targets.student,
                targets.inputs,
                place_targets(targets.teacher, targets.inputs),
                epochs=settings.distillation_epochs,
                settings=replace(
                    settings,
                    learning_rate=settings.distillation_learning_rate,
                    schedule="cosine",
                ),
                rng=rng,
            )
        except TrainingDiverged as diverged:
            raise TrainingDiverged(
                f"in distillation, {str(diverged).rstrip('.')} (--distillation_learning_rate)."
            ) from None


@contextmanager
def only_trainable(model: keras.Model, names: Collection[str]) -> Iterator[None]:
    """Freeze all layers except the named ones; frozen batch normalization runs in inference."""
    frozen = [layer for layer in model.layers if layer.name not in names and layer.trainable]
    for layer in frozen:
        layer.trainable = False
    try:
        yield
    finally:
        for layer in frozen:
            layer.trainable = True
