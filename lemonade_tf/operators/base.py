"""The interface of operators.

An operator makes a child of a graph: section 3 of the paper. It lists the *sites* where it
applies, and applies at one of them. A site holds every structural choice (node, kernel size,
factor, kind of skip), so the structure of a child follows from its parent and the sites alone,
with weights or without. The generator passed to `apply` only draws the values of new weights.

Each operator states its conditions once, in `_refusal`. `candidates` follows from it: `_sites`
enumerates sites cheaply, in a fixed order, and those that `_refusal` refuses are left out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.checks import check_calls
from lemonade_tf.errors import LemonadeError
from lemonade_tf.operators.change import Change

NODE_FIELDS = ("node", "source", "target")  # the fields of sites that name nodes


class SiteError(LemonadeError, ValueError):
    """An operator does not apply at the given site."""


class OperatorError(LemonadeError, ValueError):
    """An operator is unknown or cannot be imported; the message names it."""


def nodes_of(site: Any) -> Mapping[str, str]:
    """Return the names of nodes in a site, by the field of the site."""
    return {name: getattr(site, name) for name in _node_fields(type(site))}


@cache
def _node_fields(site_type: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(site_type) if f.name in NODE_FIELDS)


class Operator(ABC):
    """Makes children of graphs. Stateless.

    Attributes:
        name: The name in a run's history.
        exact: Whether the child computes the same function (a network morphism, section 3.1) or
            an approximation of it that is distilled (section 3.2).
        site: The type of its sites, a frozen dataclass of plain values.
    """

    name: str
    exact: bool
    site: type

    def with_width_multiple(self, multiple: int) -> Operator:
        """Return the operator whose sites keep numbers of filters multiples of a number.

        The operator itself if it has no choice of a number of filters.
        """
        return self

    def candidates(self, graph: Graph) -> tuple[Any, ...]:
        """Return the sites where the operator applies, in an order determined by the graph."""
        return graph.cached(("candidates", self), self._candidates)

    def _candidates(self, graph: Graph) -> tuple[Any, ...]:
        refusal = self._refusal
        return tuple(site for site in self._sites(graph) if refusal(graph, site) is None)

    def refusal(self, graph: Graph, site: Any) -> str | None:
        """Return why the operator does not apply at a site, in words; None if it applies.

        Args:
            graph: The parent, weighted or made of shapes.
            site: Any site of this operator's type.
        """
        for name in nodes_of(site).values():
            try:
                graph[name]
            except GraphError as error:  # its message names the nearest nodes
                return str(error).rstrip(".")
        return self._refusal(graph, site)

    def apply(self, graph: Graph, site: Any, *, rng: np.random.Generator) -> Change:
        """Return a child of a graph, which itself stays unchanged.

        Args:
            graph: The parent, weighted or made of shapes.
            site: One of `candidates(graph)`.
            rng: Draws the values of new weights; unused for a graph of shapes.

        Raises:
            SiteError: If the operator does not apply at this site.
        """
        reason = self.refusal(graph, site)
        if reason is not None:
            raise SiteError(
                f"{self.name} does not apply at {site}: {reason}; candidates(graph) lists the sites"
                " where it applies."
            )
        change = self._apply(graph.copy(), site, rng)
        try:
            check_calls(change.graph)
        except GraphError as error:
            raise SiteError(f"{self.name} does not apply at {site}: {error}") from error
        return replace(
            change,
            new_nodes=frozenset(change.graph).difference(graph),
            distilled=() if self.exact else change.affected,
        )

    @abstractmethod
    def _sites(self, graph: Graph) -> Iterable[Any]:
        """Yield sites on existing nodes, among them all where the operator applies."""

    @abstractmethod
    def _refusal(self, graph: Graph, site: Any) -> str | None:
        """Return why the operator does not apply at a site on existing nodes, or None."""

    @abstractmethod
    def _apply(self, graph: Graph, site: Any, rng: np.random.Generator) -> Change:
        """Edit a copy of the parent into the child."""
