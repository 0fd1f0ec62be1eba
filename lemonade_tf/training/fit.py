"""Training: epochs over shuffled images, with a learning rate that decays by a schedule (A.4.4).

A training can stop after any epoch and resume elsewhere. On a CPU, with the same number of threads,
it ends with the same weights bit for bit. (Not on a GPU, where some kernels sum in varying order.)

The moving averages of batch norms have to follow weights that change within few steps. A network of
Keras with a momentum of 0.99 or 0.999 would not get there: after S steps, its averages still hold
0.999^S of what they were before, two thirds for S = 400. So the momentum is at most 1 - 10 / S
during a training of S steps (but not below 0.9, that of batch norms of this package), so that the
old averages keep a share of exp(-10). The momentum in files is unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.backends.base import Trainer
from lemonade_tf.backends.batch_transform import NO_AUGMENTATION, BatchTransform
from lemonade_tf.backends.current import current_backend
from lemonade_tf.executors.device_turn import device_turn, num_sharing
from lemonade_tf.operators.initial import NORMALIZATION
from lemonade_tf.training.class_balance import balanced_order
from lemonade_tf.training.out_of_memory import effective_batch_size
from lemonade_tf.training.schedule import learning_rates
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.streaming import StreamedImages, StreamingTrainer

_TIME_CONSTANTS = 10  # of moving averages, that a training lasts at least


class TrainingDiverged(ArithmeticError):
    """A loss, a weight or an output is no longer a finite number."""


@dataclass(frozen=True)
class FitResult:
    """The course of a training.

    Attributes:
        losses: Mean loss of each epoch.
        num_images: Images processed, each counted once per epoch.
        seconds: Wall-clock seconds, compiling and waiting included.
        seconds_compiling: Seconds spent on compiling the step.
        seconds_waiting: Seconds spent on waiting for other processes to train on the device.
        num_traces: How many times the step was traced: once.
    """

    losses: tuple[float, ...] = ()
    num_images: int = 0
    seconds: float = 0.0
    seconds_compiling: float = 0.0
    seconds_waiting: float = 0.0
    num_traces: int = 0


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A training between two epochs: everything that the remaining epochs depend on.

    Attributes:
        losses: Mean loss of each epoch so far.
        rng: State of the NumPy generator that draws the order of images and the batch transform.
        arrays: State of the trainer: weights, momenta, and what else a step changes.
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
    transform: BatchTransform = NO_AUGMENTATION,
    resume: TrainingState | None = None,
    on_epoch: Callable[[Callable[[], TrainingState]], None] | None = None,
) -> FitResult:
    """Train the weights of a model that are trainable now.

    Each epoch shuffles the images and drops those that do not fill the last batch. With the class
    weights "balanced" and classes as targets, it draws as many images of each class. If there are
    fewer images than `batch_size`, one batch holds all of them.

    Processes that share a GPU take turns (see `executors.device_turn`): this one compiles the step,
    waits until no other trains there, and then takes all its steps.

    Args:
        model: A model that outputs logits; see `Backend.training_model`.
        images: (n, height, width, channels), raw pixels: what `place_images` returned; or a list of
            the model's inputs on the device.
        targets: (n,) integer classes or (n, classes) probabilities: what `place_targets` returned.
        epochs: Passes over the images.
        settings: Batch size, learning rate and its schedule, momentum and weight decay.
        rng: Draws the order of the images and the random numbers of the transform.
        transform: Transform of each batch.
        resume: State of the same training to continue from, instead of the current weights of the
            model and the current state of `rng`.
        on_epoch: Called after each epoch with a function that returns the state. The state is a
            copy of all weights, so it is made only on demand.

    Returns:
        The course of the training, including the epochs before `resume`; the seconds are those of
        this call.

    Raises:
        TrainingDiverged: If a loss is not finite.
        ValueError: If the state to resume is not one of this model.
    """
    start = time.perf_counter()
    count = targets.shape[0]
    batch_size = effective_batch_size(settings, count)
    num_steps = count // batch_size
    rates = learning_rates(settings, epochs, num_steps)
    trainer = make_trainer(model, settings, transform, images=images, num_steps=epochs * num_steps)
    losses: list[float] = []
    if resume is not None:
        losses.extend(resume.losses)
        trainer.restore(resume.arrays)
        rng.bit_generator.state = dict(resume.rng)

    def state() -> TrainingState:
        return TrainingState(tuple(losses), rng.bit_generator.state, trainer.state())

    is_balanced = settings.class_weights == "balanced" and len(targets.shape) == 1
    labels = np.asarray(targets) if is_balanced else None

    def draw() -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        # The order is drawn before the transform, for whole epochs: a resumed training draws the
        # same numbers.
        order = rng.permutation(count) if labels is None else balanced_order(labels, rng=rng)
        order = order[: num_steps * batch_size].astype(np.int32)
        return order.reshape(num_steps, batch_size), transform.draw(num_steps, batch_size, rng=rng)

    seconds_waiting = 0.0
    first = len(losses)
    if first < epochs:
        indices, draws = draw()
        trainer.compile(images, targets, indices, rates[first], draws)
        with device_turn() if trainer.jit_compile else nullcontext(0.0) as seconds_waiting:
            for epoch in range(first, epochs):
                if epoch > first:
                    indices, draws = draw()
                losses.append(trainer.run_epoch(images, targets, indices, rates[epoch], draws))
                if not isfinite(losses[-1]):
                    raise TrainingDiverged(
                        f"the loss is {losses[-1]} after epoch {epoch + 1} of {epochs} with an"
                        f" initial learning rate of {settings.learning_rate}; try a smaller one."
                    )
                if on_epoch is not None:
                    on_epoch(state)
    return FitResult(
        losses=tuple(losses),
        num_images=epochs * num_steps * batch_size,
        seconds=time.perf_counter() - start,
        seconds_compiling=trainer.seconds_compiling,
        seconds_waiting=seconds_waiting,
        num_traces=trainer.num_traces,
    )


def make_trainer(
    model: keras.Model,
    settings: TrainingSettings,
    transform: BatchTransform = NO_AUGMENTATION,
    *,
    images: Any = None,
    num_steps: int = 0,
) -> Trainer:
    """Return the backend's trainer of the weights that are trainable now.

    Args:
        model: A model that outputs logits; the momentum of its batch norms is limited as above.
        settings: The training settings.
        transform: Transform of each batch.
        images: The images to train on, which may be `StreamedImages`.
        num_steps: How many steps are planned.
    """
    if num_steps:
        _limit_momentum(model, max(NORMALIZATION.momentum, 1 - _TIME_CONSTANTS / num_steps))
    trainer = current_backend().trainer(
        model,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        transform=transform,
        jit_compile=settings.jit_compile,
        num_steps=num_steps,
        num_sharing=num_sharing(),
        precision=settings.precision,
    )
    return StreamingTrainer(trainer) if isinstance(images, StreamedImages) else trainer


def _limit_momentum(model: keras.Model, limit: float) -> None:
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, limit)


def check_finite(graph: Graph) -> Graph:
    """Return a trained graph if all its weights are finite.

    Raises:
        TrainingDiverged: If a weight is not finite.
    """
    for name, node in graph.items():
        for key, value in node.weights.items():
            if not np.isfinite(value).all():
                raise TrainingDiverged(f"{key} of {name!r} is not finite after the last epoch.")
    return graph
