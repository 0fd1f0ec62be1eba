"""Predict the inference time of a network from its graph, in microseconds.

    seconds = sum over features f of weight[f] * feature[f]

`features` counts the work of a network. The weights are fitted to the measured times of a table by
non-negative least squares (Lawson and Hanson), on relative errors. As no weight is negative, more
work never predicts less time.

The rows of single layers determine the cost of each kind of layer, also for sizes that networks
reach later in a search; the rows of whole networks determine the cost of running many layers in a
row. Both groups have the same total importance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lemonade_tf.latency.features import FEATURES, features

if TYPE_CHECKING:
    from lemonade_tf.architecture.graph import Graph
    from lemonade_tf.latency.runtime import Runtime
    from lemonade_tf.latency.table import LatencyTable

_MIN_SECONDS = 1e-9  # a prediction is positive, as the objective is on a log scale


@dataclass(frozen=True)
class LatencyModel:
    """Predicts the inference times of networks in a runtime.

    Attributes:
        runtime: How networks run.
        weights: Seconds per unit of each of `FEATURES`.
    """

    runtime: Runtime
    weights: tuple[float, ...]

    def seconds(self, graph: Graph) -> float:
        """Predict the seconds per image of a network."""
        work = features(
            graph, folded=self.runtime.folds_layers, converted=self.runtime.converts_ends
        )
        return max(_MIN_SECONDS, float(work @ self._vector))

    @cached_property
    def _vector(self) -> np.ndarray:
        return np.array(self.weights)

    def as_json(self) -> dict[str, float]:
        """Return the weights by feature."""
        return dict(zip(FEATURES, self.weights, strict=True))

    @classmethod
    def from_json(cls, runtime: Runtime, weights: Mapping[str, float]) -> LatencyModel:
        """Return the model that `as_json` converted."""
        return cls(runtime, tuple(weights[name] for name in FEATURES))


def fit(table: LatencyTable) -> LatencyModel:
    """Fit the weights of a latency model to the measured times of a table."""
    from scipy.optimize import nnls  # workers import this module, and do not fit

    # Minimize sum_i importance_i (features_i w / seconds_i - 1)^2, the relative errors. A row of
    # the least-squares problem is multiplied by the square root of its importance.
    seconds = np.array([row.seconds for row in table.rows])
    relative = np.array([row.features for row in table.rows]) / seconds[:, None]
    # Weights per pass and per multiply-add differ by a factor of 1e9: scale each column to 1.
    scales = np.maximum(relative.max(axis=0), 1e-30)
    importance = np.sqrt(_importance(table))
    weights, _ = nnls(
        relative / scales * importance[:, None], importance, maxiter=100 * len(FEATURES)
    )
    return LatencyModel(table.runtime, tuple(map(float, weights / scales)))


def _importance(table: LatencyTable) -> np.ndarray:
    """Return a factor per row with the same sum for single layers and for whole networks."""
    is_layer = np.array([row.is_layer for row in table.rows])
    if is_layer.all() or not is_layer.any():
        return np.ones(len(is_layer))
    return len(is_layer) / 2 / np.where(is_layer, is_layer.sum(), (~is_layer).sum())
