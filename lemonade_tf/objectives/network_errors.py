"""The validation errors of a trained network, as objectives."""

from __future__ import annotations

import numpy as np

from lemonade_tf.objectives.int8_error import int8_error
from lemonade_tf.objectives.objective import Objective, ObjectiveError
from lemonade_tf.objectives.trained_network import TrainedNetwork


def _error(trained: TrainedNetwork) -> float:
    """Return the fraction of validation images whose most probable class is wrong."""
    return float((trained.probabilities.argmax(axis=1) != trained.labels).mean())


def _chance_level_error(num_classes: int) -> float:
    return 1 - 1 / num_classes


def _top5_error(trained: TrainedNetwork) -> float:
    """Return the fraction of validation images whose class is not among the five most probable."""
    five = np.argsort(-trained.probabilities, axis=1, kind="stable")[:, :5]
    return float((five != trained.labels[:, None]).all(axis=1).mean())


def _chance_level_top5_error(num_classes: int) -> float:
    if num_classes < 6:
        raise ObjectiveError(
            f"the objective 'top5_error' is 0 for all networks with {num_classes} classes; it"
            " requires at least 6 classes. Omit it."
        )
    return 1 - 5 / num_classes


def _balanced_error(trained: TrainedNetwork) -> float:
    """Return the mean over classes of the fraction of their images that are misclassified."""
    wrong = trained.probabilities.argmax(axis=1) != trained.labels
    counts = np.bincount(trained.labels)
    present = counts > 0
    return float((np.bincount(trained.labels, weights=wrong)[present] / counts[present]).mean())


ERROR = Objective("error", "linear", measure=_error, unit="fraction", reference=_chance_level_error)
TOP5_ERROR = Objective(
    "top5_error", "linear", measure=_top5_error, unit="fraction", reference=_chance_level_top5_error
)
BALANCED_ERROR = Objective(
    "balanced_error",
    "linear",
    measure=_balanced_error,
    unit="fraction",
    reference=_chance_level_error,
)
INT8_ERROR = Objective(
    "int8_error", "linear", measure=int8_error, unit="fraction", reference=_chance_level_error
)
