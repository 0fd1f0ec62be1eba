"""Compute Pareto fronts and their hypervolume. All objectives are minimized.

Section 2 of the paper: `a` dominates `b` if `a_i <= b_i` for every objective `i` and `a_j < b_j`
for some `j`; the Pareto front consists of the points that no other point dominates. Two equal
points do not dominate each other, so both are on the front. The population keeps only the oldest
of equal individuals, otherwise it would fill with copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TypeVar

import moocore
import numpy as np
from numpy.typing import ArrayLike

from lemonade_tf.evolution.protocols import EvaluatedNetwork

Network = TypeVar("Network", bound=EvaluatedNetwork)


def pareto_front(points: ArrayLike, *, keep_equal: bool = True) -> np.ndarray:
    """Find the rows that no other row dominates.

    Takes O(n log n) time for up to three objectives, O(n log^(m-2) n) for m objectives.

    Args:
        points: (n, m), one row per point, all objectives minimized. Infinities are allowed.
        keep_equal: Whether to return all of several equal rows on the front, as in the
            definition, or only the first.

    Returns:
        The indices of the rows on the front, ascending; empty without points.

    Raises:
        ValueError: If `points` is not a matrix with one column per objective, or contains a NaN.

    References:
        Kung, Luccio, Preparata: On finding the maxima of a set of vectors. J. ACM 22(4), 1975.
    """
    points = _as_points(points)
    if not len(points):
        return np.empty(0, dtype=np.intp)
    # Dominance depends on the order only, so ranks can replace values. moocore 0.3 uses infinite
    # and nearly infinite values as sentinels, and crashes the process on them.
    ranks = [np.unique(column, return_inverse=True)[1] for column in points.T]
    return np.flatnonzero(moocore.is_nondominated(np.stack(ranks, axis=1), keep_weakly=keep_equal))


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Compute the volume of the region that the points dominate, up to a reference point.

    Points that are not below the reference in every objective contribute nothing. Takes O(n log n)
    time for up to three objectives and O(n^(m-2)) for more than four; a front of 300 points in
    five objectives takes milliseconds.

    Args:
        points: (n, m), one row per point, all objectives minimized.
        reference: (m,), worse than all values of interest in every objective.

    Returns:
        The volume, in the product of the objectives' units; 0.0 without points.

    Raises:
        ValueError: If the shapes do not match, or a value is not finite.

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
            f"the reference point is {reference.tolist()}, of shape {reference.shape}; expected "
            "one finite number per objective, in one dimension."
        )
    if not len(points):
        return 0.0
    if points.shape[1] != reference.size:
        raise ValueError(
            f"the points have {points.shape[1]} objectives and the reference point "
            f"{reference.size}; expected one reference value per column of `points`."
        )
    _refuse(points, ~np.isfinite(points), "expected finite values. Leave such points out")
    return float(moocore.hypervolume(points, ref=reference))


def update_front(
    population: Iterable[Network],
    newcomers: Iterable[Network],
    objectives: Sequence[str],
    values: Callable[[Network], Mapping[str, float]] = attrgetter("objectives"),
) -> list[Network]:
    """Add newcomers to the population: line 10 of Algorithm 1, ParetoFrontier(P u N).

    Of several individuals with equal objectives, the oldest is kept. The result does not depend on
    the order of the arguments.

    Args:
        population: Evaluated individuals, or records of them.
        newcomers: Likewise.
        objectives: The names of the objectives, all minimized.
        values: Returns the values of an individual by name; by default, its objectives.

    Returns:
        The non-dominated individuals of both, oldest first.

    Raises:
        ValueError: If an individual lacks one of the objectives, or its value is NaN.
    """
    individuals = sorted([*population, *newcomers], key=lambda individual: individual.age_key)
    points = [_point(individual.id, values(individual), objectives) for individual in individuals]
    return [individuals[index] for index in pareto_front(points, keep_equal=False)]


def _point(id_: str, known: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """Return an individual's objectives in the order of the names."""
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(
            f"the individual {id_} has the objectives {sorted(known)}; expected "
            f"{', '.join(missing)} as well. Only evaluated individuals can be on the front."
        )
    return [known[name] for name in names]


def _as_points(points: ArrayLike) -> np.ndarray:
    """Convert points to a float matrix without NaN, or raise."""
    points = np.asarray(points, dtype=float)
    if points.shape == (0,):
        points = points.reshape(0, 1)
    if points.ndim != 2 or not points.shape[1]:
        raise ValueError(
            f"the points have the shape {points.shape}; expected (points, objectives). Pass a "
            "single point as a matrix of one row: [[0.1, 2000]]."
        )
    _refuse(points, np.isnan(points), "expected no NaN. Leave such points out")
    return points


def _refuse(points: np.ndarray, wrong: np.ndarray, expectation: str) -> None:
    """Raise if any value is wrong, with the first such row in the message."""
    rows = np.flatnonzero(wrong.any(axis=1))
    if len(rows):
        raise ValueError(
            f"{len(rows)} of {len(points)} points are invalid, the first in row {rows[0]}: "
            f"{points[rows[0]].tolist()}; {expectation}."
        )
