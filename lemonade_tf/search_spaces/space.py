"""The interface of search spaces: initial networks, membership, and proposals of children."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Rescaling, Shape
from lemonade_tf.operators import Operator, record

DEFAULT_RESCALING = Rescaling(1 / 127.5, -1.0)


@dataclass(frozen=True)
class SearchSpace(ABC):
    """The networks that a search starts from and may reach. Abstract.

    Attributes:
        name: The name in the settings of a search.
        exact: The exact operators: network morphisms.
        approximate: The approximate operators.
        max_operators: A child is made by 1 to this many operators, drawn uniformly (section 5.1).
    """

    name: str
    exact: tuple[Operator, ...]
    approximate: tuple[Operator, ...]
    max_operators: int

    def with_width_multiple(self, multiple: int) -> Self:
        """Return the space whose operators change numbers of filters to multiples of a number."""
        if multiple == 1:
            return self
        exact, approximate = (
            tuple(operator.with_width_multiple(multiple) for operator in operators)
            for operators in (self.exact, self.approximate)
        )
        return replace(self, exact=exact, approximate=approximate)

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
            rescaling: The rescaling of raw pixels, 0 to 255, after the input.
            rng: Draws the weights; by default numpy.random.default_rng(0).

        Raises:
            ValueError: If the images are smaller than 2x2, or if there are fewer than two classes.
        """

    @abstractmethod
    def allows(self, graph: Graph) -> bool:
        """Return whether a network is in the space."""

    @abstractmethod
    def including(self, graphs: Sequence[Graph]) -> Self:
        """Return the space with minimums of sizes no larger than networks have.

        Args:
            graphs: The networks.
        """

    def propose(
        self, graph: Graph, *, rng: np.random.Generator
    ) -> tuple[Graph, tuple[dict[str, Any], ...]] | None:
        """Return a child's shapes and the records of the operators that make it.

        The number of operators is uniform on 1 to `max_operators`. A site of an operator is allowed
        if its result is in the space. Each operator is drawn uniformly from those that have an
        allowed site, and its site uniformly from these. If none has one, the child is made by
        fewer operators.

        Args:
            graph: The parent; only its shapes are used.
            rng: Draws operators and sites.

        Returns:
            The child and its records; None if no operator has an allowed site.
        """
        records: list[dict[str, Any]] = []
        num_operators = int(rng.integers(1, self.max_operators + 1))
        if graph.has_weights:
            graph = graph.copy(weights=False)
        for _ in range(num_operators):
            step = self._draw(graph, rng)
            if step is None:
                break
            graph, entry = step
            records.append(entry)
        return (graph, tuple(records)) if records else None

    def _draw(self, graph: Graph, rng: np.random.Generator) -> tuple[Graph, dict[str, Any]] | None:
        """Draw an operator and a site; return its result and its record, or None."""
        operators = (*self.exact, *self.approximate)
        # Operators in random order, and sites of each in random order, until one is allowed:
        # uniform among the allowed, without computing the results of all.
        for index in rng.permutation(len(operators)):
            operator = operators[index]
            sites = operator.candidates(graph)
            for number in rng.permutation(len(sites)):
                child = operator.apply(graph, sites[number], rng=rng).graph
                if self.allows(child):
                    return child, record(operator, sites[number])
        return None


def check_task(input_shape: Shape, num_classes: int) -> None:
    """Check that the space has networks for such images and classes.

    Raises:
        ValueError: If the images are smaller than 2x2, or if there are fewer than two classes.
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < 2:
        raise ValueError(
            f"input_shape is {tuple(input_shape)}; expected (height, width, channels) of images of"
            " at least 2x2 pixels."
        )
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}; expected at least 2.")
