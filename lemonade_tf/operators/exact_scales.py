"""Scales gamma that a float32 variance undoes almost exactly: gamma / sqrt(variance + epsilon) = 1.

Rounded to float32, sqrt(variance + epsilon) is off by up to 6e-8. So gamma is chosen among the 8193
float32 numbers nearest to it, as the one for which gamma^2 - epsilon is closest to a float32, which
becomes the variance.

Almost always this needs integers only. The candidates are m u for consecutive integers m and a
power of two u, and the variances nearby are the multiples of a power of two M u^2. So gamma^2 -
epsilon is off by the distance of m^2 - epsilon / u^2 from a multiple of M, which takes a product
and a mask in 32 bits. The few nearest candidates are then compared in float64.
"""

from __future__ import annotations

import numpy as np

_REACH = 4096  # candidates on each side: gamma changes by less than one part in 2000
_BLOCK = 32  # numbers whose candidates are compared at once; they fit into the cache


def exact_scales(near: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Return scales near to some numbers, and the variances that they undo.

    Args:
        near: (n,) float32, positive.
        epsilon: The epsilon of the batch norm.

    Returns:
        gamma and variance, each (n,) float32; variance is not negative.
    """
    distinct, places = np.unique(near, return_inverse=True)
    gammas = distinct.copy()
    steps = np.spacing(distinct)
    ends = distinct + np.array([[-_REACH], [_REACH]], np.float32) * steps
    # Between the ends, neither gamma nor the variance may change its spacing.
    spacing = np.spacing(_variances(ends, epsilon)).astype(np.float64)
    modulus = spacing[0] / steps.astype(np.float64) ** 2
    regular = (
        (_variances(ends[0], epsilon) > 0)
        & (spacing[0] == spacing[1])
        & (np.spacing(ends) == steps).all(axis=0)
        & (modulus >= 2)
        & (modulus < 2**32)
    )
    for block in _blocks(np.flatnonzero(regular)):
        gammas[block] = _by_integers(distinct[block], steps[block], modulus[block], epsilon)
    for block in _blocks(np.flatnonzero(~regular)):
        offsets = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
        candidates = distinct[block][:, None] + offsets * steps[block][:, None]
        best = np.argmin(_errors(candidates, epsilon), axis=1)
        gammas[block] = candidates[np.arange(len(block)), best]
    gammas = gammas[places]
    return gammas, _variances(gammas, epsilon)


def _blocks(indices: np.ndarray) -> list[np.ndarray]:
    return [indices[start : start + _BLOCK] for start in range(0, len(indices), _BLOCK)]


def _variances(gammas: np.ndarray, epsilon: float) -> np.ndarray:
    return (gammas.astype(np.float64) ** 2 - epsilon).astype(np.float32)


def _errors(gammas: np.ndarray, epsilon: float) -> np.ndarray:
    """Return how far gamma / sqrt(variance + epsilon) is from 1; infinity without a variance."""
    variances = _variances(gammas, epsilon)
    errors = np.abs(gammas / np.sqrt(np.abs(variances).astype(np.float64) + epsilon) - 1)
    errors[variances < 0] = np.inf  # gamma^2 < epsilon, where the variance is about 0
    return errors


def _by_integers(
    near: np.ndarray, steps: np.ndarray, modulus: np.ndarray, epsilon: float
) -> np.ndarray:
    """Return the best candidates where neither they nor their variances change their spacing."""
    first = np.rint(near / steps).astype(np.int64) - _REACH
    target = np.floor(np.fmod(epsilon / steps.astype(np.float64) ** 2, modulus)).astype(np.uint32)
    size = modulus.astype(np.uint32)[:, None]
    remainders = first.astype(np.uint32)[:, None] + np.arange(2 * _REACH + 1, dtype=np.uint32)
    remainders *= remainders  # modulo 2^32, and so modulo every smaller power of two
    remainders -= target[:, None]
    remainders &= size - np.uint32(1)
    distances = np.minimum(remainders, size - remainders)
    # The target was rounded down by less than 1, and gamma^2 varies by one part in 1000: of the
    # candidates within these margins, the errors decide, the first of equal ones.
    least = distances.min(axis=1, keepdims=True)
    rows, columns = np.nonzero(distances <= least + least // 100 + 2)
    gammas = ((first[rows] + columns) * steps[rows].astype(np.float64)).astype(np.float32)
    order = np.lexsort((columns, _errors(gammas, epsilon), rows))
    return gammas[order][np.searchsorted(rows, np.arange(len(near)))]
