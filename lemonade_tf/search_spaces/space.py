"""What a search space is, and how children are proposed in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Rescaling, Shape
from lemonade_tf.operators import Operator, record

DEFAULT_RESCALING = Rescaling(1 / 127.5, -1.0)


@dataclass(frozen=True)
class SearchSpace(ABC):
    """A search space: where a search begins, and what it may come to. Abstract.

    Attributes:
        name: As in the settings of a search.
        exact: The network morphisms on its graphs.
        approximate: The approximate ones.
        max_operators: A child is made by 1 to this many operators, uniformly (section 5.1).
    """

    name: str
    exact: tuple[Operator, ...]
    approximate: tuple[Operator, ...]
    max_operators: int

    @abstractmethod
    def initial_graphs(
        self,
        input_shape: Shape,
        num_classes: int,
        *,
        rescaling: Rescaling = DEFAULT_RESCALING,
        rng: np.random.Generator | None = None,
    ) -> tuple[Graph, ...]:
        """Return the initial networks, by size (A.4), with new weights.

        Args:
            input_shape: (height, width, channels) of the images.
            num_classes: The number of classes.
            rescaling: What raw pixels, 0 to 255, go through first.
            rng: Draws the weights; by default numpy.random.default_rng(0).

        Raises:
            ValueError: The images are smaller than 2x2, or there are fewer than two classes.
        """

    @abstractmethod
    def allows(self, graph: Graph) -> bool:
        """Return whether a network is in the space."""

    def propose(
        self, graph: Graph, *, rng: np.random.Generator, max_attempts: int = 100
    ) -> tuple[Graph, tuple[dict[str, Any], ...]] | None:
        """Return a child's shapes and the records of the operators that make it.

        The number of operators is uniform on 1 to `max_operators`; each is drawn uniformly from
        all, among those that apply, and its site uniformly from its sites. An operator whose
        result would leave the space is drawn again.

        Args:
            graph: The parent; only its shapes are used.
            rng: Draws operators and sites.
            max_attempts: How often to draw, in all, before giving up.

        Returns:
            The child and its records; None if no operator was found.
        """
        records: list[dict[str, Any]] = []
        wanted = int(rng.integers(1, self.max_operators + 1))
        if graph.has_weights:
            graph = graph.copy(weights=False)
        for _ in range(max_attempts):
            if len(records) == wanted:
                break
            choice = _draw((*self.exact, *self.approximate), graph, rng)
            if choice is None:
                break
            operator, site = choice
            child = operator.apply(graph, site, rng=rng).graph
            if self.allows(child):
                graph = child
                records.append(record(operator, site))
        return (graph, tuple(records)) if records else None


def check_task(input_shape: Shape, num_classes: int) -> None:
    """Raise unless there can be networks for such images and classes.

    Raises:
        ValueError: The images are smaller than 2x2, or there are fewer than two classes.
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < 2:
        raise ValueError(
            f"input_shape is {tuple(input_shape)}; expected (height, width, channels) of"
            " images of at least 2x2 pixels."
        )
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}; expected two or more.")


def _draw(
    operators: Sequence[Operator], graph: Graph, rng: np.random.Generator
) -> tuple[Operator, Any] | None:
    for index in rng.permutation(len(operators)):
        sites = operators[index].candidates(graph)
        if sites:
            return operators[index], sites[int(rng.integers(len(sites)))]
    return None
