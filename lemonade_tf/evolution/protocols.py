"""What evolution needs from its caller: objectives, and functions on architectures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from lemonade_tf.evolution.individual import Evaluation, Individual


class ObjectiveProtocol(Protocol):
    """A cheap objective, such as `lemonade_tf.objectives.Objective`."""

    @property
    def name(self) -> str:
        """The key in `Individual.cheap`."""
        ...

    def value(self, architecture: Any, /) -> float:
        """Return the value of an architecture, to be minimized."""
        ...

    def transform(self, value: float, /) -> float:
        """Return the coordinate of a value in the density, e.g. its logarithm."""
        ...


class EvaluatedNetwork(Protocol):
    """A network with objectives: an `Individual`, or the record of one."""

    @property
    def id(self) -> str:
        """The network, in error messages."""
        ...

    @property
    def age_key(self) -> tuple[int, int]:
        """Sorts networks from the oldest to the youngest."""
        ...

    @property
    def objectives(self) -> Mapping[str, float]:
        """All objectives by name."""
        ...


class Propose(Protocol):
    """Makes a child of a parent."""

    def __call__(
        self, parent: Individual, /, *, rng: np.random.Generator
    ) -> tuple[Any, Iterable[dict[str, Any]]] | None:
        """Return the child's architecture and its operators; None if no operator applies."""
        ...


# Yields an evaluation for each child, in any order. It may yield fewer, if it runs out of time.
Evaluate = Callable[[Sequence[Individual]], Iterable[Evaluation]]
# Returns the objectives of a child that exceed their limit; an empty mapping if it is allowed.
Exceeded = Callable[[Individual], Mapping[str, float]]
# Returns the logarithms of the weights of proposed children, given the population and all evaluated
# networks by id.
LogWeights = Callable[
    [Sequence[Individual], Sequence[Individual], Mapping[str, Individual]], np.ndarray
]
