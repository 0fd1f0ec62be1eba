"""Weigh classes equally in training, however many images they have.

An epoch has as many images as the data set, the same number of each class: those of small classes
are repeated, and of large ones some are left out. In expectation, the loss is that in which an
image of class c of n_c images has the weight n / (k n_c), for n images of k classes; but no
gradient is scaled up, and repeated images are augmented differently.
"""

from __future__ import annotations

import numpy as np


def balanced_order(labels: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Draw the images of an epoch, as many of each class, in random order.

    Args:
        labels: Class indices, (images,).
        rng: The generator.

    Returns:
        Indices of images, (images,).
    """
    classes = rng.permutation(np.unique(labels))
    shares = np.full(len(classes), len(labels) // len(classes))
    shares[: len(labels) % len(classes)] += 1
    drawn = [
        _draw(np.flatnonzero(labels == c), n, rng) for c, n in zip(classes, shares, strict=True)
    ]
    return rng.permutation(np.concatenate(drawn))


def _draw(rows: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows: all of them equally often, up to one."""
    rounds = -(-num // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:num]
