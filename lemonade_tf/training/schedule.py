"""The learning rate of every step."""

from __future__ import annotations

import numpy as np


def cosine(learning_rate: float, num_steps: int) -> np.ndarray:
    """Return learning rates that decay from `learning_rate` along half a cosine.

    Step t of T has learning_rate * (1 + cos(pi t / T)) / 2 (Loshchilov & Hutter, 2017, without
    restarts); step T, the first after the last, would have 0.

    Returns:
        (num_steps,) float32.
    """
    steps = np.arange(num_steps, dtype=np.float64)
    return (learning_rate * (1 + np.cos(np.pi * steps / max(num_steps, 1))) / 2).astype(np.float32)
