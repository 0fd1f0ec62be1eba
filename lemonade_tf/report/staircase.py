"""The Pareto front in two objectives, which a plot shows as a staircase."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lemonade_tf.evolution import pareto_front
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.store import NetworkRecord


def staircase(
    networks: Sequence[NetworkRecord], first: Objective, second: Objective
) -> list[NetworkRecord]:
    """Return the networks that are non-dominated in two objectives, sorted by the first.

    They are ranked as in the run, so that several may have the same error, on one step.
    """
    if not networks:
        return []
    points = np.array([[n.ranked_objectives[o.name] for o in (first, second)] for n in networks])
    steps = [networks[i] for i in pareto_front(points, keep_equal=False)]
    # Of equal errors on the first axis, the smallest network comes last: a step starts from it.
    return sorted(steps, key=lambda n: (n.objectives[first.name], -n.objectives[second.name]))
