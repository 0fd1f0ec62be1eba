"""How far an approximate network morphism is from a network morphism: epsilon of equation 9.

The mean, over training images, of a distance between the probabilities p of the parent and q of
the child. The paper's is the cross-entropy -sum p log q. Its least value is not 0 but the entropy
of the parent, which the Kullback-Leibler divergence sum p log (p / q) leaves out: that one is 0 for
a network morphism.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

EPSILON_IMAGES = 1000  # of the training images, the most that it is estimated on
_LEAST = np.finfo(np.float32).tiny  # for probabilities that underflowed


def epsilon(parent: np.ndarray, child: np.ndarray) -> dict[str, float]:
    """Return epsilon in nats, as "cross_entropy" and as "kl".

    Args:
        parent: (n, classes), probabilities.
        child: (n, classes), probabilities.
    """
    p, q = parent.astype(np.float64), np.maximum(child.astype(np.float64), _LEAST)
    cross_entropy = -xlogy(p, q).sum(axis=1).mean()
    entropy = -xlogy(p, p).sum(axis=1).mean()
    return {"cross_entropy": float(cross_entropy), "kl": float(max(0.0, cross_entropy - entropy))}
