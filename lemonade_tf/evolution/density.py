"""Estimate the density of the population in the cheap objectives: p_KDE of section 4.

The paper uses a kernel density estimator without further details. This one has Gaussian kernels on
coordinates standardized over the population, so that parameters and seconds count alike,

    p(x) = 1/n  sum_i  prod_k  N(x_k; x_ik, h s_k),    s_k the standard deviation of x_.k,

and the bandwidth of Scott's rule, `h = n^(-1/(d+4))`, for n individuals and d objectives. A
coordinate with the same value for all individuals is not standardized. Densities are computed and
returned as logarithms, because the sampling needs 1/p even where p underflows to zero.

scikit-learn's `KernelDensity` is the same estimator, but its tree truncates the sum far from the
population (an error of hundreds in the logarithm, in two dimensions, at 100 standard deviations).
Such individuals are the most likely to be sampled.

References:
    Scott: Multivariate density estimation. Wiley, 1992.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

# A smaller relative spread is a rounding error: numpy.std([0.1] * 3) is 1e-17, not 0.
RELATIVE_ROUNDING = 1e-12
_MAX_DISTANCES = 2**22  # per chunk: 32 MB


def log_density(population_values: ArrayLike, values: ArrayLike) -> np.ndarray:
    """Estimate the population's density at the given values.

    Takes O(n m) time and bounded memory.

    Args:
        population_values: (n, d), the population's coordinates, as returned by
            `ObjectiveProtocol.transform`.
        values: (m, d), the coordinates at which to estimate the density.

    Returns:
        (m,), the natural logarithm of the density. Finite even where the density underflows, up to
        about 1e150 standard deviations from the population.

    Raises:
        ValueError: If the population is empty, the shapes do not match, or a value is not finite.
    """
    population_values = _as_coordinates("population_values", population_values)
    values = _as_coordinates("values", values)
    num_individuals, num_dimensions = population_values.shape
    if not num_individuals or values.shape[1] != num_dimensions:
        raise ValueError(
            f"population_values has the shape {population_values.shape} and values "
            f"{values.shape}; expected at least one individual and the same number of columns."
        )
    width = spread(population_values) * num_individuals ** (-1 / (num_dimensions + 4))
    center = population_values.mean(axis=0)
    points, centers = (values - center) / width, (population_values - center) / width
    num_rows = max(1, _MAX_DISTANCES // num_individuals)
    starts = range(0, len(points), num_rows)
    log_sums = [_log_sum(points[start : start + num_rows], centers) for start in starts]
    log_volume = np.log(width).sum() + num_dimensions * math.log(2 * math.pi) / 2
    return np.concatenate([[], *log_sums]) - math.log(num_individuals) - log_volume


def _log_sum(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sum of unnormalized kernels at each point (log-sum-exp)."""
    exponents = cdist(points, centers, "sqeuclidean")
    exponents *= -0.5
    # Factor out the largest term: the remaining sum lies in [1, n] and cannot underflow.
    largest = exponents.max(axis=1, keepdims=True)
    exponents -= largest
    return np.log(np.exp(exponents, out=exponents).sum(axis=1)) + largest[:, 0]


def spread(values: np.ndarray) -> np.ndarray:
    """Return each column's standard deviation, or 1 where all values are the same."""
    deviation = values.std(axis=0)
    return np.where(deviation > RELATIVE_ROUNDING * np.abs(values).max(axis=0), deviation, 1.0)


def _as_coordinates(name: str, values: ArrayLike) -> np.ndarray:
    """Convert coordinates to a finite float matrix, or raise."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or not values.shape[1]:
        raise ValueError(
            f"{name} has the shape {values.shape}; expected (individuals, cheap objectives), "
            "with at least one objective."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} has a non-finite value in row "
            f"{np.flatnonzero(~np.isfinite(values).all(axis=1))[0]}; expected finite coordinates."
        )
    return values
