"""Distillation: what an approximate operator changed learns to do what the parent did (A.1).

The child minimises, over the training images, the cross-entropy between the parent's softmax and
its own. Only the weights of the affected nodes are trained; all others stay bit for bit what they
were, the moving statistics of batch normalization included.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from lemonade_tf.training.fit import FitResult, fit
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.step import backend


def distill(
    model: keras.Model,
    affected: Collection[str],
    images: Any,
    teacher: np.ndarray,
    *,
    settings: TrainingSettings,
    rng: np.random.Generator,
) -> FitResult:
    """Train the affected layers of a child on the parent's probabilities.

    Args:
        model: The child, putting out logits.
        affected: The names of the nodes to train; where none has weights nothing is done.
        images: (n, height, width, channels), raw pixels, on the device.
        teacher: (n, classes) float32, the parent's probabilities for the same images.
        settings: How to train.
        rng: Draws the order of the images.

    Raises:
        TrainingDiverged: A loss is not finite.
    """
    with only_trainable(model, affected):
        if not model.trainable_variables:
            return FitResult()
        return fit(
            model,
            images,
            backend().place(teacher),
            epochs=settings.distillation_epochs,
            settings=replace(settings, learning_rate=settings.distillation_learning_rate),
            rng=rng,
        )


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
