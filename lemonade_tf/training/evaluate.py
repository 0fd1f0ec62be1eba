"""The error of a network: the share of images that it gets wrong."""

from __future__ import annotations

import numpy as np

from lemonade_tf.training.fit import TrainingDiverged
from lemonade_tf.training.step import Forward


def predict(forward: Forward, images: np.ndarray, *, batch_size: int = 256) -> np.ndarray:
    """Return the probabilities (n, classes) of images (n, height, width, channels).

    Raises:
        TrainingDiverged: They are not finite.
    """
    parts = [
        forward.probabilities(images[start : start + batch_size])
        for start in range(0, len(images), batch_size)
    ]
    probabilities = np.concatenate(parts)
    if not np.isfinite(probabilities).all():
        bad = int((~np.isfinite(probabilities).all(axis=1)).sum())
        raise TrainingDiverged(
            f"the network puts out values that are not finite for {bad} of {len(images)} images."
        )
    return probabilities


def error(
    forward: Forward, images: np.ndarray, labels: np.ndarray, *, batch_size: int = 256
) -> float:
    """Return the share of images whose most probable class is not their label."""
    return share_wrong(predict(forward, images, batch_size=batch_size), labels)


def share_wrong(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose most probable class, of (n, classes), is not their label."""
    return float((probabilities.argmax(axis=1) != labels).mean())
