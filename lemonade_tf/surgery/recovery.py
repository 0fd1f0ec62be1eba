"""Recover the function of the original network by distillation.

As in a search (`training.distillation`), the original is the teacher of the edited network. But all
weights learn, from a start that is close already, so this differs in what would do harm there:

- The target is the logits, which say more about the original than saturated probabilities: the
  squared difference from them, relative to their variance. Without logits, it is the outputs.
- Batch norms keep their statistics, and normalize by them while the weights are trained. The
  statistics of a batch are not those that the original's outputs belong to; training with them
  takes an almost exact network further from the original, at any learning rate.
- The weights of each epoch, and those of the start, are compared on images that are held back. The
  best ones stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.backends.base import Forward
from lemonade_tf.backends.current import current_backend
from lemonade_tf.inheritance.activations import Images, count_images, in_order
from lemonade_tf.keras_bridge import read_weights, to_keras

_RATE = 1e-3  # of Adam
_WARM_UP = 0.1  # of the steps
_HELD_BACK = 8  # every eighth image, but no more than
_MAX_HELD_BACK = 512


@dataclass(frozen=True)
class Recovered:
    """A distilled network.

    Attributes:
        graph: The network.
        before: Its relative squared difference from the original on images that were held back.
        after: The same after distillation; not more than before.
    """

    graph: Graph
    before: float
    after: float


def recover(
    original: Graph,
    graph: Graph,
    images: Images,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float | None,
    rng: np.random.Generator,
    as_trained: Callable[[keras.Model], keras.Model] = lambda model: model,
) -> Recovered:
    """Train the weights of a network on the outputs of the original, except those of frozen layers.

    Args:
        original: The network to recover the function of.
        graph: The network to train.
        images: Preprocessed like its input.
        epochs: Passes over the images.
        batch_size: Images per step.
        learning_rate: The initial learning rate; None for the default.
        rng: Draws the order of the images.
        as_trained: Returns the model that is trained, and compared, in place of the given one,
            whose variables it has.

    Raises:
        ValueError: If all layers with weights are frozen.
    """
    teacher, student = (_model(each) for each in (original, graph))
    if not student.trainable_variables:
        raise ValueError(
            "cannot distill: all layers with weights are frozen; set trainable=True on some."
        )
    inputs = in_order(original, images)
    desired = _outputs(current_backend().forward(teacher), inputs, batch_size)
    train, held_back = _divided(count_images(images))
    batch_size = min(batch_size, len(train))
    trained = as_trained(student)
    model = Student(trained)
    num_steps = epochs * -(-len(train) // batch_size)
    warm_up = max(1, round(_WARM_UP * num_steps))
    rate: Any = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, num_steps - warm_up),
        warmup_target=_RATE if learning_rate is None else learning_rate,
        warmup_steps=warm_up,
    )
    scales = [max(float(value.var()), 1e-30) for value in desired]
    losses = _single([_squared_error(scale) for scale in scales])
    never: Any = False  # compiling for a single epoch takes longer than it saves
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=losses, jit_compile=never)

    forward = current_backend().forward(trained)

    def error() -> float:
        found = _outputs(forward, [each[held_back] for each in inputs], batch_size)
        pairs = zip(found, desired, scales, strict=True)
        return float(np.mean([np.square(f - d[held_back]).mean() / s for f, d, s in pairs]))

    before = least = error()
    best = student.get_weights()
    for _ in range(epochs):
        order = rng.permutation(train)
        targets = [value[order] for value in desired]
        some = [each[order] for each in inputs]
        model.fit(_single(some), _single(targets), batch_size, shuffle=False, verbose="0")
        now = error()
        if now < least:  # also if it is not a number
            least, best = now, student.get_weights()
    student.set_weights(best)
    return Recovered(read_weights(student, graph), before, least)


def _model(graph: Graph) -> keras.Model:
    return to_keras(graph, learnable=True, logits=len(graph.outputs) == 1, layer_per_node=True)


def _divided(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the images to train on, and of those that are held back."""
    if number < 2:
        return np.arange(number), np.arange(number)
    step = max(min(_HELD_BACK, number), -(-number // _MAX_HELD_BACK))
    is_held_back = np.arange(number) % step == step - 1
    return np.flatnonzero(~is_held_back), np.flatnonzero(is_held_back)


def _single(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _outputs(forward: Forward, inputs: list[np.ndarray], batch_size: int) -> list[np.ndarray]:
    """Return all outputs of a model for images, computed in batches."""
    batches = [
        forward.outputs(_single([each[start : start + batch_size] for each in inputs]))
        for start in range(0, len(inputs[0]), batch_size)
    ]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


class Student(keras.Model):
    """A model whose weights are trained while it computes as in inference."""

    def __init__(self, inner: keras.Model) -> None:
        super().__init__()
        self.inner = inner

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs, training=False)


def _squared_error(scale: float) -> Callable[[Any, Any], Any]:
    """Return the mean squared error of an output, relative to its variance."""

    def loss(desired: Any, found: Any) -> Any:
        squared: Any = keras.ops.square(desired - found)
        return keras.ops.mean(squared / scale)

    return loss
