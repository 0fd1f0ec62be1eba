"""Training: epochs over shuffled images, at a learning rate that falls along a cosine (A.4.4).

A training may be left after any epoch and gone on with elsewhere: on a CPU, with the same number of
threads, it ends with the same weights, bit for bit. (Not on a GPU, some of whose kernels sum in
another order each time.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.backends.base import compile_trainer
from lemonade_tf.training.batch_transform import NO_AUGMENTATION, BatchTransform
from lemonade_tf.training.out_of_memory import batch_of
from lemonade_tf.training.schedule import cosine
from lemonade_tf.training.settings import TrainingSettings


class TrainingDiverged(ArithmeticError):
    """A loss, a weight or a prediction is no longer a finite number."""


@dataclass(frozen=True)
class FitResult:
    """What training did.

    Attributes:
        losses: The mean loss of each epoch.
        num_images: How many images went through, counting each as often as it did.
        seconds: How long it took, compiling included.
        seconds_compiling: How long it took to compile the step.
        num_traces: How often the step was traced to compile it: once.
    """

    losses: tuple[float, ...] = ()
    num_images: int = 0
    seconds: float = 0.0
    seconds_compiling: float = 0.0
    num_traces: int = 0


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A training between two epochs: all that the rest of it depends on.

    Attributes:
        losses: The mean loss of each epoch so far.
        rng: The state of the generator that draws order and preparation, as NumPy gives it.
        arrays: The state of the trainer: weights, momenta, and what else changes in a step.
    """

    losses: tuple[float, ...]
    rng: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


def fit(
    model: keras.Model,
    images: Any,
    targets: Any,
    *,
    epochs: int,
    settings: TrainingSettings,
    rng: np.random.Generator,
    preparation: BatchTransform = NO_AUGMENTATION,
    resume: TrainingState | None = None,
    on_epoch: Callable[[Callable[[], TrainingState]], None] | None = None,
) -> FitResult:
    """Train the weights of a model that are trainable now.

    Every epoch shuffles the images and leaves out those that do not fill a last batch. Where
    there are fewer images than a batch holds, a batch is all of them.

    Args:
        model: Puts out logits; see `to_keras`.
        images: (n, height, width, channels), raw pixels; best on the device already (`place`). Or
            a list of what the model reads instead.
        targets: (n,) integer classes or (n, classes) probabilities.
        epochs: Passes over the images.
        settings: The rest.
        rng: Draws the order of the images, and the random numbers of the preparation.
        preparation: What happens to a batch first.
        resume: Goes on from a state of the same training, instead of from the weights of the model
            and the generator as they are.
        on_epoch: Called after each epoch with a function that returns the state, which takes a
            copy of all weights.

    Returns:
        What training did, the epochs before `resume` included; but the seconds are those of this
        call.

    Raises:
        TrainingDiverged: A loss is not finite.
        ValueError: The state to resume is not one of this model.
    """
    start = time.perf_counter()
    count = targets.shape[0]
    batch_size = batch_of(settings, count)
    num_steps = count // batch_size
    rates = cosine(settings.learning_rate, epochs * num_steps).reshape(epochs, num_steps)
    trainer = compile_trainer(model, settings, preparation)
    losses: list[float] = []
    if resume is not None:
        losses.extend(resume.losses)
        trainer.restore(resume.arrays)
        rng.bit_generator.state = dict(resume.rng)

    def state() -> TrainingState:
        return TrainingState(tuple(losses), rng.bit_generator.state, trainer.state())

    for epoch in range(len(losses), epochs):
        order = rng.permutation(count)[: num_steps * batch_size].astype(np.int32)
        draws = preparation.draw(num_steps, batch_size, rng=rng)
        indices = order.reshape(num_steps, batch_size)
        losses.append(trainer.run_epoch(images, targets, indices, rates[epoch], draws))
        if not isfinite(losses[-1]):
            raise TrainingDiverged(
                f"the loss became {losses[-1]} in epoch {epoch + 1} of {epochs}, at a learning"
                f" rate of {settings.learning_rate}; a smaller one may train."
            )
        if on_epoch is not None:
            on_epoch(state)
    return FitResult(
        losses=tuple(losses),
        num_images=epochs * num_steps * batch_size,
        seconds=time.perf_counter() - start,
        seconds_compiling=trainer.seconds_compiling,
        num_traces=trainer.num_traces,
    )


def finite(graph: Graph) -> Graph:
    """Return a trained graph.

    Raises:
        TrainingDiverged: It has weights that are not finite.
    """
    for name, node in graph.items():
        for key, value in node.weights.items():
            if not np.isfinite(value).all():
                raise TrainingDiverged(f"after the last epoch {key} of {name} is not finite.")
    return graph
