"""Recover the function of the original network by distillation.

A network that ends in a softmax is distilled as in a search: it minimizes the cross-entropy to the
original's probabilities (`training.distillation`). Any other minimizes the squared difference from
the original's outputs, relative to their variance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge import read_weights, to_keras
from lemonade_tf.keras_bridge.graph_to_model import logits_node
from lemonade_tf.operators import Change
from lemonade_tf.training.distillation import distill, distillation_targets
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.streaming import place_images

_RATE, _RATE_OF_ADAM = 3e-3, 1e-3


def recover(
    original: Graph,
    graph: Graph,
    images: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float | None,
    rng: np.random.Generator,
) -> Graph:
    """Train all weights of a network on the outputs of the original, and return the network.

    Args:
        original: The network to recover the function of.
        graph: The network to train.
        images: Preprocessed like its input, (n, height, width, channels).
        epochs: Passes over the images.
        batch_size: Images per step.
        learning_rate: The initial learning rate; None for the default of the method.
        rng: Draws the order of the images.
    """
    is_classifier = len(graph.outputs) == 1 and logits_node(graph) != graph.output
    if is_classifier and len(graph.shapes()[graph.output]) == 1:
        settings = TrainingSettings(
            distillation_epochs=epochs,
            distillation_learning_rate=_RATE if learning_rate is None else learning_rate,
            batch_size=batch_size,
            weight_decay=0,
        )
        return _by_probabilities(original, graph, images, settings, rng)
    rate = _RATE_OF_ADAM if learning_rate is None else learning_rate
    return _by_outputs(original, graph, images, epochs, batch_size, rate, rng)


def _by_probabilities(
    original: Graph,
    graph: Graph,
    images: np.ndarray,
    settings: TrainingSettings,
    rng: np.random.Generator,
) -> Graph:
    backend = current_backend()
    teacher, student = backend.training_model(original), backend.training_model(graph)
    every = tuple(graph.topological_order())
    change = Change(graph, affected=every, distilled=every)
    targets = distillation_targets(
        original, teacher, change, student, images, place_images(images, None), settings
    )
    distill(targets, every, settings=settings, rng=rng)
    return read_weights(student, graph)


def _by_outputs(
    original: Graph,
    graph: Graph,
    images: np.ndarray,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    rng: np.random.Generator,
) -> Graph:
    teacher = to_keras(original, layer_per_node=True)
    desired: Any = teacher.predict(images, batch_size, verbose="0")
    values = [np.asarray(value) for value in keras.tree.flatten(desired)]
    student = to_keras(graph, learnable=True, layer_per_node=True)
    num_steps = epochs * max(1, len(images) // batch_size)
    decay: Any = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
    losses = [_squared_error(max(float(value.std()), 1e-15)) for value in values]
    student.compile(optimizer=keras.optimizers.Adam(decay), loss=losses)
    for _ in range(epochs):
        order = rng.permutation(len(images))
        targets = [value[order] for value in values]
        student.fit(images[order], targets, batch_size, shuffle=False, verbose="0")
    return read_weights(student, graph)


def _squared_error(scale: float) -> Callable[[Any, Any], Any]:
    """Return the mean squared error of outputs that have a standard deviation."""

    def loss(desired: Any, found: Any) -> Any:
        return keras.ops.mean(keras.ops.square((desired - found) / scale))

    return loss
