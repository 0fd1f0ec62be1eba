"""Accept children by the improvement of the front that they promise per training time.

This goes beyond the paper, whose second sampling stage (equation 2) looks at the cheap objectives
alone. Here, the expensive objectives of a child are predicted from its parent's. With y the
coordinate of an objective (the logarithm, for an error) and m_o the number of operators of kind o
that made the child,

    y(child) - y(parent) = w_0 + sum_o w_o m_o + noise,

where w is a ridge regression on all children evaluated so far, towards w = 0: a child that is as
good as its parent, give or take the standard deviation of y over all networks. A proposed child is
accepted with a probability proportional to

    E[hypervolume(front u {child}) - hypervolume(front)] / cost(child),

in the coordinates of all objectives, the expectation over the noise. Children are drawn without
replacement, like those of equation 2, so a batch remains diverse.

References:
    Emmerich, Giannakoglou, Naujoks: Single- and multiobjective evolutionary optimization assisted
    by Gaussian random field metamodels. IEEE Trans. Evolutionary Computation 10(4), 2006.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from scipy.special import ndtri

from lemonade_tf.evolution.density import spread
from lemonade_tf.evolution.individual import Individual
from lemonade_tf.evolution.pareto import hypervolume

Coordinate = Callable[[float], float]

_PRIOR_CHILDREN = 8  # that count as much as the prior
_NUM_QUANTILES = 5  # of the noise, per child
_SMALLEST = 1e-300  # a gain whose logarithm is finite


class ExpectedImprovement:
    """Rates proposed children; see the module.

    Args:
        cheap: The coordinate of each cheap objective, by name.
        expensive: The coordinate of each expensive objective, by name.
        cost: The time that training a child takes, in any unit.
    """

    def __init__(
        self,
        cheap: Mapping[str, Coordinate],
        expensive: Mapping[str, Coordinate],
        cost: Callable[[Individual], float],
    ) -> None:
        self._cheap, self._expensive, self._cost = dict(cheap), dict(expensive), cost

    def log_weights(
        self,
        children: Sequence[Individual],
        front: Sequence[Individual],
        evaluated: Mapping[str, Individual],
    ) -> np.ndarray:
        """Rate proposed children.

        Args:
            children: With their cheap objectives.
            front: The population.
            evaluated: All networks evaluated so far, by id, the parents of the children included.

        Returns:
            (children,), the logarithms of the weights to draw them by; finite.
        """
        if not children:
            return np.zeros(0)
        # In one order, so that rounding does not depend on that of the reports.
        networks = sorted(evaluated.values(), key=lambda each: each.age_key)
        known = self._coordinates(self._expensive, networks)
        parents = dict(zip((each.id for each in networks), known, strict=True))
        means, noise = self._predict(children, networks, parents)
        cheap = self._coordinates(self._cheap, children)
        points = np.column_stack(
            [[parents[each.id] for each in front], self._coordinates(self._cheap, front)]
        )
        quantiles = ndtri((np.arange(_NUM_QUANTILES) + 0.5) / _NUM_QUANTILES)
        # (quantiles, children, objectives); a child is lucky or not in all objectives alike
        outcomes = np.stack(
            [np.column_stack([means + quantile * noise, cheap]) for quantile in quantiles]
        )
        everything = np.vstack([points, outcomes.reshape(-1, points.shape[1])])
        worst = everything.max(axis=0) + spread(everything)
        gains = [
            np.mean([_gain(points, outcome, worst) for outcome in outcomes[:, index]])
            for index in range(len(children))
        ]
        costs = np.array([self._cost(child) for child in children])
        return np.log(np.maximum(gains, _SMALLEST)) - np.log(costs)

    def _predict(
        self,
        children: Sequence[Individual],
        networks: Sequence[Individual],
        known: Mapping[str, np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict the expensive coordinates of children: the means, and the spread of each."""
        seen = [each for each in networks if each.parent in known]
        names = sorted({name for each in (*seen, *children) for name in _counts(each)})
        changes = np.array([known[each.id] - known[str(each.parent)] for each in seen])
        changes = changes.reshape(len(seen), len(self._expensive))
        made_by = _features(seen, names)
        precision = made_by.T @ made_by + _PRIOR_CHILDREN * np.eye(1 + len(names))
        weights = np.linalg.solve(precision, made_by.T @ changes)
        squares = ((changes - made_by @ weights) ** 2).sum(axis=0)
        prior = spread(np.array(list(known.values()))) ** 2
        variance = (_PRIOR_CHILDREN * prior + squares) / (_PRIOR_CHILDREN + len(seen))
        parents = np.array([known[str(child.parent)] for child in children])
        return parents + _features(children, names) @ weights, np.sqrt(variance)

    @staticmethod
    def _coordinates(
        objectives: Mapping[str, Coordinate], individuals: Iterable[Individual]
    ) -> np.ndarray:
        """Return the coordinates of objectives: (individuals, objectives)."""
        rows = [
            [of(each.objectives[name]) for name, of in objectives.items()] for each in individuals
        ]
        return np.array(rows).reshape(len(rows), len(objectives))


def _gain(points: np.ndarray, point: np.ndarray, reference: np.ndarray) -> float:
    """Return the hypervolume that a point adds to others: its own box less their part of it."""
    own = float(np.prod(reference - point))
    return own - hypervolume(np.maximum(points, point), reference)


def _counts(individual: Individual) -> Counter[str]:
    return Counter(str(operator["operator"]) for operator in individual.operators)


def _features(individuals: Sequence[Individual], names: Sequence[str]) -> np.ndarray:
    """Return the constant and the number of operators of each kind: (individuals, 1 + kinds)."""
    rows = [[1, *(_counts(each)[name] for name in names)] for each in individuals]
    return np.array(rows, float).reshape(len(rows), 1 + len(names))
