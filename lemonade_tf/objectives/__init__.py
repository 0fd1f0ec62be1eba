"""What a search can minimise.

A *cheap* objective is computed from the graph alone; the search uses it to decide which children
to train. An *expensive* one is measured on the trained network.
"""

from lemonade_tf.objectives.builtin import (
    ERROR,
    FILE_BYTES,
    INT8_ERROR,
    LATENCY,
    LITE_LATENCY,
    MULTIPLY_ADDS,
    OBJECTIVES,
    PARAMETERS,
    PEAK_MEMORY,
    TOP5_ERROR,
)
from lemonade_tf.objectives.dataset_errors import is_error_on, with_errors
from lemonade_tf.objectives.limits import Limit, exceeded, limits_of, smallest
from lemonade_tf.objectives.lookup import (
    find_objective,
    objectives_named,
    objectives_of,
    rescaled,
)
from lemonade_tf.objectives.objective import SCALES, Objective, ObjectiveError, describe_exception
from lemonade_tf.objectives.prepare_context import PrepareContext
from lemonade_tf.objectives.trained_network import TrainedNetwork

__all__ = [
    # One of your own.
    "Objective",
    "TrainedNetwork",
    "PrepareContext",
    "ObjectiveError",
    "describe_exception",
    "SCALES",
    # Those that come with the package.
    "ERROR",
    "FILE_BYTES",
    "INT8_ERROR",
    "LATENCY",
    "LITE_LATENCY",
    "MULTIPLY_ADDS",
    "OBJECTIVES",
    "PARAMETERS",
    "PEAK_MEMORY",
    "TOP5_ERROR",
    # By name.
    "find_objective",
    "objectives_named",
    "objectives_of",
    "rescaled",
    # On further data sets.
    "is_error_on",
    "with_errors",
    # Bounds on them.
    "Limit",
    "exceeded",
    "limits_of",
    "smallest",
]
