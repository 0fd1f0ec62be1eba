"""The quality of a front: its hypervolume up to a reference point.

The hypervolume is the volume between a front and a reference point. Larger is better: a front that
dominates another has the larger hypervolume. It is measured in the decimal logarithm of objectives
on a log scale, and in the unchanged value of the others.

The reference point of a run is fixed before the run starts, so that its hypervolumes compare: the
chance-level error (1 - 1 / number of classes), 25 times the value of the largest initial network
for a cheap objective (ten times on images of less than 16 pixels per side), and the declared
reference of a custom objective. Networks beyond the reference point contribute nothing.
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
    other_num_classes: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """Return the reference point of a run, by objective.

    Args:
        objectives: The objectives of the run.
        initial: The initial networks.
        num_classes: The number of classes of the first data set.
        other_num_classes: The number of classes by objective, for errors on other data sets.

    Raises:
        ObjectiveError: If an objective has no value for an initial network.
    """
    classes = other_num_classes or {}
    return {
        o.name: o.reference_value(initial, classes.get(o.name, num_classes)) for o in objectives
    }


def coordinates(objectives: Iterable[Objective], values: Mapping[str, float]) -> list[float]:
    """Return the values of objectives, (objectives,), with logarithms on log scales."""
    return [
        log10(values[o.name]) if o.scale == "log" else float(values[o.name]) for o in objectives
    ]


def front_hypervolume(
    objectives: Sequence[Objective],
    front: Iterable[Mapping[str, float]],
    reference: Mapping[str, float],
) -> float:
    """Return the hypervolume of a front.

    Args:
        objectives: The objectives of the run.
        front: The objectives of each network, by name.
        reference: The reference point, by objective.
    """
    points = [coordinates(objectives, values) for values in front]
    shape = (len(points), len(objectives))
    return hypervolume(np.reshape(points, shape), coordinates(objectives, reference))
