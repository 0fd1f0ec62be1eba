"""What a search can minimise.

A *cheap* objective is computed from the graph alone; the search uses it to decide which children
to train. An *expensive* one is measured on the trained network.
"""

from lemonade_tf.objectives.objective import (
    ERROR,
    MULTIPLY_ADDS,
    OBJECTIVES,
    PARAMETERS,
    Objective,
    objectives_named,
)

__all__ = [
    "ERROR",
    "MULTIPLY_ADDS",
    "OBJECTIVES",
    "PARAMETERS",
    "Objective",
    "objectives_named",
]
