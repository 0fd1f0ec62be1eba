"""Which operators paid off: how often each made a child that entered the front."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lemonade_tf.runs.run import Run
    from lemonade_tf.store import NetworkRecord, ProposalRecord


def operator_counts(
    run: Run, proposals: Sequence[ProposalRecord]
) -> list[tuple[str, int, int, int, int]]:
    """Return for each operator the children proposed, trained, that entered the front, and on it.

    A child that several operators made counts for each of them. It entered the front if no network
    that was completed before dominates or equals it.

    Returns:
        (operator, proposed, trained, entered, on the front now), by the number that entered.
    """
    proposed = Counter(name for p in proposals for name in {o["operator"] for o in p.operators})
    trained = Counter(name for n in run.trained for name in {*n.operator_names})
    entered = Counter(name for n in _entered(run) for name in {*n.operator_names})
    now = Counter(name for n in run.front() for name in {*n.operator_names})
    names = sorted({*proposed, *trained}, key=lambda name: (-entered[name], name))
    return [(name, proposed[name], trained[name], entered[name], now[name]) for name in names]


def _entered(run: Run) -> list[NetworkRecord]:
    """Return the networks that were non-dominated when they were completed."""
    names = [objective.name for objective in run.objectives]
    front, found = np.empty((0, len(names))), []
    for record in run.trained:
        point = np.array([record.ranked_objectives[name] for name in names], float)
        if not (front <= point).all(axis=1).any():
            front = np.vstack([front[~(point <= front).all(axis=1)], point])
            found.append(record)
    return found
