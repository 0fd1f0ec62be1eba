"""The epsilon of equation 9: how far an approximate network morphism is from an exact one.

It is the mean over training images of a distance between the probabilities p of the parent and q of
the child. The paper's distance is the cross-entropy -sum p log q, whose minimum is the entropy of
the parent. The Kullback-Leibler divergence sum p log (p / q) subtracts that entropy: it is 0 for a
network morphism.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

EPSILON_IMAGES = 1000  # maximum number of training images on which it is estimated
_SMALLEST = np.finfo(np.float32).tiny  # replaces probabilities that underflowed to 0


def epsilon(parent: np.ndarray, child: np.ndarray) -> dict[str, float]:
    """Return epsilon in nats, as "cross_entropy" and as "kl".

    Args:
        parent: (n, classes), probabilities.
        child: (n, classes), probabilities.
    """
    p, q = parent.astype(np.float64), np.maximum(child.astype(np.float64), _SMALLEST)
    cross_entropy = -xlogy(p, q).sum(axis=1).mean()
    entropy = -xlogy(p, p).sum(axis=1).mean()
    return {"cross_entropy": float(cross_entropy), "kl": float(max(0.0, cross_entropy - entropy))}
