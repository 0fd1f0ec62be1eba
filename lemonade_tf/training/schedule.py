"""The learning rate of every step."""

from __future__ import annotations

import numpy as np

from lemonade_tf.training.settings import TrainingSettings


def learning_rates(settings: TrainingSettings, epochs: int, num_steps: int) -> np.ndarray:
    """Return the learning rate of each step, by the schedule of the settings.

    Args:
        settings: The schedule and the initial learning rate.
        epochs: The number of epochs.
        num_steps: The steps of an epoch.

    Returns:
        (epochs, num_steps) float32.
    """
    if settings.schedule == "cosine":
        return cosine(settings.learning_rate, epochs * num_steps).reshape(epochs, num_steps)
    rates = stepwise(
        settings.learning_rate, epochs, every=settings.decay_epochs, factor=settings.decay_factor
    )
    return np.repeat(rates[:, np.newaxis], num_steps, axis=1)


def cosine(learning_rate: float, num_steps: int) -> np.ndarray:
    """Return learning rates that decay from `learning_rate` along half a cosine.

    Step t of T has learning_rate * (1 + cos(pi t / T)) / 2 (Loshchilov & Hutter, 2017, without
    restarts); step T, the first after the last, would have 0.

    Returns:
        (num_steps,) float32.
    """
    steps = np.arange(num_steps, dtype=np.float64)
    return (learning_rate * (1 + np.cos(np.pi * steps / max(num_steps, 1))) / 2).astype(np.float32)


def stepwise(learning_rate: float, epochs: int, *, every: int, factor: float) -> np.ndarray:
    """Return learning rates of epochs that are multiplied by a factor after every few of them.

    Epoch t, from 0 on, has learning_rate * factor ** (t // every).

    Returns:
        (epochs,) float32.
    """
    exponents = np.arange(epochs) // every
    return (learning_rate * np.float64(factor) ** exponents).astype(np.float32)
