"""The error of a network: the share of images that it gets wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lemonade_tf.backends.base import Forward, Inputs
from lemonade_tf.training.fit import TrainingDiverged


def predict(forward: Forward, images: Inputs, *, batch_size: int = 256) -> np.ndarray:
    """Return the probabilities (n, classes) of images (n, height, width, channels).

    Args:
        forward: The network.
        images: The images, or a list of what else the network reads, each (n, ...).
        batch_size: How many at a time.

    Raises:
        TrainingDiverged: They are not finite.
    """
    probabilities = np.concatenate(
        [forward.probabilities(batch) for batch in batches(images, batch_size)]
    )
    if not np.isfinite(probabilities).all():
        bad = int((~np.isfinite(probabilities).all(axis=1)).sum())
        raise TrainingDiverged(
            f"the network puts out values that are not finite for {bad} of {len(probabilities)}"
            " images."
        )
    return probabilities


def batches(images: Inputs, batch_size: int) -> Iterator[Inputs]:
    """Yield images, or what a network reads instead, some at a time."""
    parts = images if isinstance(images, list) else [images]
    for start in range(0, len(parts[0]), batch_size):
        taken = [part[start : start + batch_size] for part in parts]
        yield taken if isinstance(images, list) else taken[0]


def error(
    forward: Forward, images: np.ndarray, labels: np.ndarray, *, batch_size: int = 256
) -> float:
    """Return the share of images whose most probable class is not their label."""
    return share_wrong(predict(forward, images, batch_size=batch_size), labels)


def share_wrong(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose most probable class, of (n, classes), is not their label."""
    return float((probabilities.argmax(axis=1) != labels).mean())
