"""How good a front is: its hypervolume, and the reference point that it is measured against.

The hypervolume is the volume between a front and a reference point; larger is better, and a front
that dominates another has the larger one. It is measured in the coordinates in which differences
count: the common logarithm of objectives on a log scale, the others as they are.

The reference point of a run is fixed before the run begins, so that its values compare: the error
of guessing (1 - 1 / number of classes), ten times the largest initial network for what is cheap,
and what an objective of one's own says. A network beyond it contributes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log10

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.evolution import hypervolume
from lemonade_tf.objectives.objective import Objective


def reference_point(
    objectives: Iterable[Objective],
    initial: Sequence[Graph],
    num_classes: int,
    others: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """Return the reference point of a run, by objective.

    Args:
        objectives: Those of the run.
        initial: The initial networks.
        num_classes: How many classes its data set has.
        others: How many the data set has that an objective is about, where that is another one.

    Raises:
        ObjectiveError: An objective has no value for an initial network.
    """
    classes = others or {}
    return {
        o.name: o.reference_value(initial, classes.get(o.name, num_classes)) for o in objectives
    }


def coordinates(objectives: Iterable[Objective], values: Mapping[str, float]) -> list[float]:
    """Return the values of the objectives in the coordinates in which differences count."""
    return [
        log10(values[o.name]) if o.scale == "log" else float(values[o.name]) for o in objectives
    ]


def front_hypervolume(
    objectives: Sequence[Objective],
    front: Iterable[Mapping[str, float]],
    reference: Mapping[str, float],
) -> float:
    """Return the hypervolume of a front of values by objective."""
    points = [coordinates(objectives, values) for values in front]
    shape = (len(points), len(objectives))
    return hypervolume(np.reshape(points, shape), coordinates(objectives, reference))
