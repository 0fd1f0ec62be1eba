"""The objectives that a search minimizes.

A *cheap* objective is computed from the graph alone; the search uses it to decide which children
to train. An *expensive* one is measured on the trained network.
"""

from lemonade_tf.objectives.builtin import (
    BALANCED_ERROR,
    ERROR,
    FILE_BYTES,
    INT8_ARENA,
    INT8_BYTES,
    INT8_ERROR,
    INT8_LATENCY,
    LATENCY,
    LITE_LATENCY,
    MULTIPLY_ADDS,
    OBJECTIVES,
    PARAMETERS,
    PEAK_MEMORY,
    TOP5_ERROR,
)
from lemonade_tf.objectives.dataset_errors import is_dataset_error, with_dataset_errors
from lemonade_tf.objectives.limits import Limit, exceeded, smallest_values
from lemonade_tf.objectives.lookup import (
    find_objective,
    find_objectives,
    run_limits,
    run_objectives,
    with_scales,
)
from lemonade_tf.objectives.objective import SCALES, Objective, ObjectiveError, describe_exception
from lemonade_tf.objectives.prepare_context import PrepareContext
from lemonade_tf.objectives.trained_network import TrainedNetwork

__all__ = [
    # Custom objectives.
    "Objective",
    "TrainedNetwork",
    "PrepareContext",
    "ObjectiveError",
    "describe_exception",
    "SCALES",
    # Built-in objectives.
    "BALANCED_ERROR",
    "ERROR",
    "FILE_BYTES",
    "INT8_ARENA",
    "INT8_BYTES",
    "INT8_ERROR",
    "INT8_LATENCY",
    "LATENCY",
    "LITE_LATENCY",
    "MULTIPLY_ADDS",
    "OBJECTIVES",
    "PARAMETERS",
    "PEAK_MEMORY",
    "TOP5_ERROR",
    # Lookup by name.
    "find_objective",
    "find_objectives",
    "run_objectives",
    "with_scales",
    # Errors on extra data sets.
    "is_dataset_error",
    "with_dataset_errors",
    # Limits.
    "Limit",
    "exceeded",
    "run_limits",
    "smallest_values",
]
