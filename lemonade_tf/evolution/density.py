"""How crowded the population is, in the cheap objectives: p_KDE of section 4.

The paper names a kernel density estimator and says no more. Here it is a Gaussian one with
coordinates standardised over the population, so that parameters and seconds count alike,

    p(x) = 1/n  sum_i  prod_k  N(x_k; x_ik, h s_k),    s_k the standard deviation of x_.k,

and the bandwidth of Scott's rule, `h = n^(-1/(d+4))`, for n individuals and d objectives; the
paper gives none. A coordinate that all share has no scale of its own and keeps its unit (for a
logarithm: a factor of e). Everything stays a logarithm, because the sampling needs 1/p also where
p itself is zero in floating point.

scikit-learn's `KernelDensity` is the same estimator, but its tree cuts the sum short far from the
population (by hundreds in the logarithm, in two dimensions, at 100 standard deviations), and far
from the population is what counts here.

References:
    Scott: Multivariate density estimation. Wiley, 1992.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from lemonade_tf.architecture import Graph

# A spread this small a part of the values is rounding: numpy.std([0.1] * 3) is 1e-17, not 0.
RELATIVE_ROUNDING = 1e-12
_MOST_DISTANCES = 2**22  # computed at a time: 32 MB


@dataclass(frozen=True)
class CheapObjective:
    """Name an objective that a graph tells without training, and its scale in the density.

    Args:
        name: As in the run's files, e.g. `"parameters"`.
        compute: Its value for a graph, to be minimised.
        scale: `"log"` where ratios matter, as for parameters (section 5.1 takes their
            logarithm) or seconds; `"linear"` where differences do.

    Raises:
        ValueError: If the scale is neither.
    """

    name: str
    compute: Callable[[Graph], float]
    scale: Literal["log", "linear"] = "log"

    def __post_init__(self):
        if self.scale not in ("log", "linear"):
            raise ValueError(
                f"The cheap objective {self.name} has the scale {self.scale!r}; expected "
                '"log" or "linear".'
            )

    def measure(self, graph: Graph) -> float:
        """Compute the objective, and refuse a value that its scale cannot take."""
        value = self.compute(graph)
        self.transform(value)
        return value

    def transform(self, value: float) -> float:
        """Turn a value into the coordinate that the density is estimated on."""
        if not math.isfinite(value):
            raise ValueError(
                f"The cheap objective {self.name} is {value}; expected a finite number. Mend "
                "its `compute`, or keep networks for which it has no value out of the search."
            )
        if self.scale == "linear":
            return float(value)
        if value <= 0:
            raise ValueError(
                f"The cheap objective {self.name} is {value}, which has no logarithm; expected "
                'a positive number. Give the objective scale="linear" if it may be 0 or less.'
            )
        return math.log(value)


def log_density(population_values: ArrayLike, values: ArrayLike) -> np.ndarray:
    """Estimate the population's density at some values.

    Takes time in proportion to n m; memory is bounded.

    Args:
        population_values: (n, d), the population's coordinates, as `CheapObjective.transform`
            gives them; what the density is estimated from.
        values: (m, d), where to estimate it.

    Returns:
        (m,), the natural logarithm of the density. Finite even where the density itself is 0 in
        floating point, up to some 1e150 standard deviations away.

    Raises:
        ValueError: If there is no population, the shapes do not fit, or a value is not finite.
    """
    population_values = _as_coordinates("population_values", population_values)
    values = _as_coordinates("values", values)
    num_individuals, num_dimensions = population_values.shape
    if not num_individuals or values.shape[1] != num_dimensions:
        raise ValueError(
            f"The population's values have the shape {population_values.shape}, the others "
            f"{values.shape}; expected at least one individual, and as many columns in both."
        )
    width = _spread(population_values) * num_individuals ** (-1 / (num_dimensions + 4))
    centre = population_values.mean(axis=0)
    points, centres = (values - centre) / width, (population_values - centre) / width
    num_rows = max(1, _MOST_DISTANCES // num_individuals)
    starts = range(0, len(points), num_rows)
    log_sums = [_log_sum(points[start : start + num_rows], centres) for start in starts]
    log_volume = np.log(width).sum() + num_dimensions * math.log(2 * math.pi) / 2
    return np.concatenate([[], *log_sums]) - math.log(num_individuals) - log_volume


def _log_sum(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sum of standard kernels, without their volume, at each point."""
    exponents = cdist(points, centres, "sqeuclidean")
    exponents *= -0.5
    # The largest term is taken out of the sum, which then lies in [1, n]: no underflow.
    largest = exponents.max(axis=1, keepdims=True)
    exponents -= largest
    return np.log(np.exp(exponents, out=exponents).sum(axis=1)) + largest[:, 0]


def _spread(values: np.ndarray) -> np.ndarray:
    """Take each column's standard deviation, or 1 where all values are the same."""
    spread = values.std(axis=0)
    return np.where(spread > RELATIVE_ROUNDING * np.abs(values).max(axis=0), spread, 1.0)


def _as_coordinates(name: str, values: ArrayLike) -> np.ndarray:
    """Turn coordinates into a float matrix, and refuse what is none."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or not values.shape[1]:
        raise ValueError(
            f"{name} has the shape {values.shape}; expected (individuals, cheap objectives), "
            "with at least one objective."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} has a value that is not finite in row "
            f"{np.flatnonzero(~np.isfinite(values).all(axis=1))[0]}; expected coordinates from "
            "`CheapObjective.transform`, which lets none through."
        )
    return values
