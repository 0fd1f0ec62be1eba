"""The time that a network takes, foretold from its graph in microseconds.

Time is a weighted sum of what the network does (`features`). The weights, none of them negative,
are those for which the measured times of a table are met best, in relative terms (Lawson and
Hanson's non-negative least squares). So no network becomes faster by doing more.

Layers alone tell what each kind costs, for sizes that whole networks may come to later; whole
networks tell what it costs to run many layers in a row. Each half counts alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import nnls

from lemonade_tf.architecture import Graph
from lemonade_tf.latency.features import FEATURES, features
from lemonade_tf.latency.table import LatencyTable

_LEAST_SECONDS = 1e-9


@dataclass(frozen=True)
class LatencyModel:
    """Foretells how long networks take, in one way of running them.

    Attributes:
        way: As in the table.
        weights: Seconds for one of each of `FEATURES`.
    """

    way: str
    weights: tuple[float, ...]

    def seconds(self, graph: Graph) -> float:
        """Return the seconds of an image."""
        done = features(graph, folded=self.way == "lite_latency")
        return max(_LEAST_SECONDS, float(done @ _array(self.weights)))

    def as_json(self) -> dict[str, float]:
        """Return the weights by name."""
        return dict(zip(FEATURES, self.weights, strict=True))

    @classmethod
    def from_json(cls, way: str, weights: Mapping[str, float]) -> LatencyModel:
        """Return what `as_json` returned."""
        return cls(way, tuple(weights[name] for name in FEATURES))


def fit(table: LatencyTable) -> LatencyModel:
    """Return the model that meets the measured times of a table best."""
    seconds = np.array([row.seconds for row in table.rows])
    relative = np.array([row.features for row in table.rows]) / seconds[:, None]
    scales = np.maximum(relative.max(axis=0), 1e-30)  # or the weights would differ by 1e9
    importance = np.sqrt(_importance(table))
    weights, _ = nnls(
        relative / scales * importance[:, None], importance, maxiter=100 * len(FEATURES)
    )
    return LatencyModel(table.way, tuple(map(float, weights / scales)))


def _importance(table: LatencyTable) -> np.ndarray:
    """Return the weight of each row: of all layers together that of all networks."""
    layers = np.array([row.is_layer for row in table.rows])
    if layers.all() or not layers.any():
        return np.ones(len(layers))
    return len(layers) / 2 / np.where(layers, layers.sum(), (~layers).sum())


@lru_cache
def _array(weights: tuple[float, ...]) -> np.ndarray:
    return np.array(weights)
