"""What an operator is, and what it returns.

An operator makes a child of a graph: section 3 of the paper. It lists the *sites* where it
applies, and applies at one of them. A site holds every structural choice (node, kernel size,
factor, kind of skip), so the structure of a child follows from its parent and the sites alone,
on shapes as on weights; the generator given to `apply` draws values of new weights only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.channel_groups import FRESH
from lemonade_tf.architecture.layers import ELEMENTWISE_ACTIVATIONS, Activation, Layer, ReLU
from lemonade_tf.errors import LemonadeError


class SiteError(LemonadeError, ValueError):
    """An operator does not apply where it was asked to."""


@dataclass(frozen=True)
class MeasureStatistics:
    """A batch normalization whose statistics want to be measured on training images.

    The operator guessed them; the guess keeps the function, but while training the batch's own
    statistics are used, so these have to be right and not only consistent.

    Attributes:
        node: The batch normalization.
        channels: The channels to measure; None for all of them.
        identity: Whether gamma and beta follow the statistics, so that the layer keeps passing
            on what it is given (an inserted block).
    """

    node: str
    channels: tuple[int, ...] | None = None
    identity: bool = False


@dataclass(frozen=True)
class FitOutputs:
    """A layer with a kernel that wants to be fitted to training images.

    An approximate operator changed what the layer reads, or its form. Fitted, it puts out as
    nearly as it can what the node of the same name does in the parent, in the least-squares sense.

    Attributes:
        node: A convolution, separable convolution or dense layer.
    """

    node: str


Repair = MeasureStatistics | FitOutputs


@dataclass(frozen=True)
class Change:
    """A child, and what its making leaves to be done.

    Attributes:
        graph: The child.
        affected: The nodes that the operator made or changed, in the order of the graph; those
            that distillation trains (A.1).
        repairs: What wants data before training.
        sources: For each node that lost or gained channels, where each new channel comes from
            (see `architecture.channels`).
        made: The nodes that are new. One may have the name of a node of the parent that was
            removed: names are used again.
    """

    graph: Graph
    affected: tuple[str, ...]
    repairs: tuple[Repair, ...] = ()
    sources: Mapping[str, np.ndarray] = field(default_factory=dict)
    made: frozenset[str] = frozenset()

    def followed_by(self, later: Change) -> Change:
        """Return both changes as one, made on the graph that this one was made on.

        `later` was made on this change's graph. Repairs of nodes that are gone are dropped, and
        those of channels that moved move along. A node that `later` made is another one than that
        which had its name before.
        """
        affected = {*self.affected, *later.affected}
        return Change(
            graph=later.graph,
            affected=in_order(later.graph, affected),
            repairs=(*_fits(self, later), *_measurements(self, later)),
            sources=_composed(self, later),
            made=later.made | self.made.intersection(later.graph),
        )

    @property
    def fits(self) -> tuple[FitOutputs, ...]:
        """The repairs that fit outputs, in the order of the graph."""
        return tuple(r for r in self.repairs if isinstance(r, FitOutputs))

    @property
    def measurements(self) -> tuple[MeasureStatistics, ...]:
        """The repairs that measure statistics, in the order of the graph."""
        return tuple(r for r in self.repairs if isinstance(r, MeasureStatistics))


def in_order(graph: Graph, names: Container[str]) -> tuple[str, ...]:
    """Return those names in the order of the graph, inputs first."""
    return tuple(n for n in graph.topological_order() if n in names)


def is_activation(layer: Layer) -> bool:
    """Return whether a layer can end a block: ReLU, or another activation of each value alone."""
    return isinstance(layer, ReLU) or (
        isinstance(layer, Activation)
        and layer.activation in ELEMENTWISE_ACTIVATIONS
        and layer.activation != "linear"
    )


def _composed(first: Change, later: Change) -> dict[str, np.ndarray]:
    """Return where channels come from after both changes, for the nodes that are left."""
    composed = {name: source for name, source in first.sources.items() if _stays(name, later)}
    for name, source in later.sources.items():
        if name in composed:
            source = np.where(source < 0, FRESH, composed[name][source])
        if name in later.graph:
            composed[name] = source
    return composed


def _stays(name: str, later: Change) -> bool:
    """Return whether a node is still there after a change, and not another one of its name."""
    return name in later.graph and name not in later.made


def _fits(first: Change, later: Change) -> tuple[FitOutputs, ...]:
    before = (repair.node for repair in first.fits if _stays(repair.node, later))
    nodes = {*before, *(repair.node for repair in later.fits)}
    return tuple(FitOutputs(name) for name in in_order(later.graph, nodes))


def _measurements(first: Change, later: Change) -> tuple[MeasureStatistics, ...]:
    repairs = {repair.node: repair for repair in later.measurements}
    for repair in first.measurements:
        if _stays(repair.node, later):
            moved = _moved(repair, later.sources.get(repair.node))
            if moved.channels != ():
                repairs[repair.node] = _united(moved, repairs.get(repair.node))
    return tuple(repairs[n] for n in in_order(later.graph, repairs))


def _moved(repair: MeasureStatistics, source: np.ndarray | None) -> MeasureStatistics:
    if source is None or repair.channels is None:
        return repair
    channels = np.flatnonzero(np.isin(source, repair.channels))
    return replace(repair, channels=tuple(map(int, channels)))


def _united(first: MeasureStatistics, second: MeasureStatistics | None) -> MeasureStatistics:
    if second is None:
        return first
    channels = None
    if first.channels is not None and second.channels is not None:
        channels = tuple(sorted({*first.channels, *second.channels}))
    return replace(first, channels=channels)


class Operator(ABC):
    """Makes children of graphs; has no state.

    Attributes:
        name: As recorded in a run's history.
        exact: Whether the child computes the same function (a network morphism, section 3.1) or
            an approximation of it that is distilled (section 3.2).
        site: The type of its sites, a frozen dataclass of plain values.
    """

    name: ClassVar[str]
    exact: ClassVar[bool]
    site: ClassVar[type]

    def candidates(self, graph: Graph) -> tuple[Any, ...]:
        """Return the sites where the operator applies, in an order that the graph determines."""
        return graph.cached(("candidates", self), lambda g: tuple(self._sites(g)))

    def apply(self, graph: Graph, site: Any, *, rng: np.random.Generator) -> Change:
        """Return a child of a graph, which itself stays as it is.

        Args:
            graph: The parent, weighted or made of shapes.
            site: One of `candidates(graph)`.
            rng: Draws the values of new weights; not used on shapes.

        Raises:
            SiteError: The operator does not apply at this site.
        """
        if site not in self.candidates(graph):
            raise SiteError(
                f"{self.name} does not apply at {site}; it applies at"
                f" {len(self.candidates(graph))} sites, which candidates(graph) lists. Here:"
                f" {self.why_not(graph, site)}."
            )
        change = self._apply(graph.copy(), site, rng)
        return replace(change, made=frozenset(change.graph).difference(graph))

    def why_not(self, graph: Graph, site: Any) -> str | None:
        """Return why the operator does not apply at a site, in words; None if it does."""
        if site in self.candidates(graph):
            return None
        for part, name in asdict(site).items():
            if part in ("node", "source", "target"):
                try:
                    graph[name]
                except GraphError as error:  # it names the nearest
                    return str(error).rstrip(".")
        return self._why_not(graph, site)

    @abstractmethod
    def _sites(self, graph: Graph) -> Any:
        """Yield the sites where the operator applies."""

    @abstractmethod
    def _why_not(self, graph: Graph, site: Any) -> str:
        """Return why a site whose nodes exist is not one of those yielded."""

    @abstractmethod
    def _apply(self, graph: Graph, site: Any, rng: np.random.Generator) -> Change:
        """Edit a copy of the parent into the child."""
