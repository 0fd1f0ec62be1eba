"""Pareto fronts, and the hypervolume they dominate. All objectives are minimised.

Section 2 of the paper: `a` dominates `b` if `a_i <= b_i` for every objective `i` and `a_j < b_j`
for some `j`; the Pareto front are the points that no other point dominates. Two equal points
do not dominate one another, so both are on the front. The population keeps the older of the
two: an archive that kept both would fill with copies.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike

from lemonade_tf.evolution.individual import Individual


def pareto_front(points: ArrayLike, *, keep_equal: bool = True) -> np.ndarray:
    """Find the rows that no other row dominates.

    Takes n log n for up to three objectives, and n log^(m-2) n for m of them.

    Args:
        points: (n, m), a row a point, all objectives minimised. Infinities are allowed.
        keep_equal: Whether all of several equal rows on the front are returned, as the
            definition has it, or the first of them only.

    Returns:
        The indices of the rows on the front, ascending; none for no points.

    Raises:
        ValueError: If `points` is not a matrix with a column an objective, or has a NaN.

    References:
        Kung, Luccio, Preparata: On finding the maxima of a set of vectors. J. ACM 22(4), 1975.
    """
    points = _as_points(points)
    if not len(points):
        return np.empty(0, dtype=np.intp)
    # Dominance is a matter of order only, so ranks do. moocore 0.3 crashes the process on values
    # that are infinite or nearly so, which it uses as sentinels.
    ranks = [np.unique(column, return_inverse=True)[1] for column in points.T]
    return np.flatnonzero(moocore.is_nondominated(np.stack(ranks, axis=1), keep_weakly=keep_equal))


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Measure the region that the points dominate, up to a reference point.

    Points that do not lie below the reference in every objective add nothing. The time is
    n log n for up to three objectives and grows as n^(m-2) beyond four, though a front of 300
    points in five objectives takes milliseconds.

    Args:
        points: (n, m), a row a point, all objectives minimised.
        reference: (m,), worse than what is of interest in every objective.

    Returns:
        The volume, in the product of the objectives' units; 0.0 for no points.

    Raises:
        ValueError: If the shapes do not fit each other, or a value is not finite.

    References:
        Zitzler, Thiele: Multiobjective evolutionary algorithms: a comparative case study and
        the strength Pareto approach. IEEE Trans. Evolutionary Computation 3(4), 1999.
        Fonseca, Paquete, Lopez-Ibanez: An improved dimension-sweep algorithm for the
        hypervolume indicator. CEC 2006.
    """
    points = _as_points(points)
    reference = np.asarray(reference, dtype=float)
    if reference.ndim != 1 or not reference.size or not np.isfinite(reference).all():
        raise ValueError(
            f"The reference point is {reference.tolist()}, of shape {reference.shape}; expected "
            "a finite number for each objective, in one dimension."
        )
    if not len(points):
        return 0.0
    if points.shape[1] != reference.size:
        raise ValueError(
            f"The points have {points.shape[1]} objectives, the reference point has "
            f"{reference.size}; give one reference value for each column of `points`."
        )
    _refuse(points, ~np.isfinite(points), "expected finite values; leave such points out")
    return float(moocore.hypervolume(points, ref=reference))


def update_front(
    population: Sequence[Individual],
    newcomers: Sequence[Individual],
    objectives: Sequence[str],
) -> list[Individual]:
    """Let newcomers into the population: line 10 of Algorithm 1, ParetoFrontier(P u N).

    The order is that of the arguments, population first, so a population that started sorted by
    age stays so, and of individuals with equal objectives the oldest stays.

    Args:
        population: Evaluated individuals, oldest first.
        newcomers: Evaluated individuals, oldest first.
        objectives: The names of the objectives that count, all minimised.

    Returns:
        The non-dominated individuals of both, without copies.

    Raises:
        ValueError: If an individual lacks one of the objectives, or has NaN for it.
    """
    individuals = [*population, *newcomers]
    points = [_point(individual, objectives) for individual in individuals]
    return [individuals[index] for index in pareto_front(points, keep_equal=False)]


def _point(individual: Individual, names: Sequence[str]) -> list[float]:
    """Line up an individual's objectives in the order of their names."""
    known = individual.objectives
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(
            f"Individual {individual.id} has the objectives {sorted(known)}; expected "
            f"{', '.join(missing)} too. Only evaluated individuals can be on the front."
        )
    return [known[name] for name in names]


def _as_points(points: ArrayLike) -> np.ndarray:
    """Turn points into a float matrix, and refuse what is no set of points."""
    points = np.asarray(points, dtype=float)
    if points.shape == (0,):
        points = points.reshape(0, 1)
    if points.ndim != 2 or not points.shape[1]:
        raise ValueError(
            f"The points have the shape {points.shape}; expected (points, objectives). A single "
            "point is a matrix of one row: [[0.1, 2000]]."
        )
    _refuse(points, np.isnan(points), "a NaN cannot be ordered; leave such points out")
    return points


def _refuse(points: np.ndarray, wrong: np.ndarray, expectation: str) -> None:
    """Raise, and name the first row with a wrong value, if there is any."""
    rows = np.flatnonzero(wrong.any(axis=1))
    if len(rows):
        raise ValueError(
            f"{len(rows)} of {len(points)} points are unusable, the first is row {rows[0]}: "
            f"{points[rows[0]].tolist()}; {expectation}."
        )
