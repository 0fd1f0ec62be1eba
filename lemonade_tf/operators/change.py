"""What an operator returns: a child, and what its weights need before training.

A `Change` holds the child's graph, the nodes that distillation trains (A.1), and *repairs*:
weights that cannot be right without training images, as plain values that `inheritance` carries
out. Changes compose: a child made by several operators is one change on its parent, which is what
`Change.followed_by` computes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_runs import FRESH


@dataclass(frozen=True)
class MeasureStatistics:
    """A batch normalization whose statistics must be measured on training images.

    The operator estimated them. The estimate preserves the function at inference, but training
    normalizes by the statistics of the batch, so they must match the data as well.

    Attributes:
        node: The batch normalization.
        channels: The channels to measure; None for all of them.
        identity: Whether gamma and beta follow the statistics, so that the layer stays the
            identity (an inserted block).
    """

    node: str
    channels: tuple[int, ...] | None = None
    identity: bool = False


@dataclass(frozen=True)
class FitOutputs:
    """A layer with a kernel that must be fitted to training images.

    An approximate operator changed the layer's input or its form. The fit brings its output as
    close as possible to the output of the node of the same name in the parent, by least squares.

    Attributes:
        node: A convolution, separable convolution or dense layer.
    """

    node: str


Repair = MeasureStatistics | FitOutputs


@dataclass(frozen=True)
class Change:
    """A child and how it differs from its parent.

    Attributes:
        graph: The child.
        affected: The nodes that the operator added or changed, in topological order.
        repairs: What to measure or fit on training images before training.
        sources: For each node that lost or gained channels, where each new channel comes from
            (see `architecture.channel_edits`).
        new_nodes: The nodes that the parent does not have. A new node may have the name of a
            removed one, because names are reused.
        distilled: The nodes that distillation trains: those that an approximate operator affected
            (A.1), in topological order. What only exact operators changed computes the same as
            before and is left alone.
    """

    graph: Graph
    affected: tuple[str, ...]
    repairs: tuple[Repair, ...] = ()
    sources: Mapping[str, np.ndarray] = field(default_factory=dict)
    new_nodes: frozenset[str] = frozenset()
    distilled: tuple[str, ...] = ()

    def followed_by(self, later: Change) -> Change:
        """Return this change and a later one as one change on this one's parent.

        Repairs of removed nodes are dropped, and channels to measure move along with the channels.

        Args:
            later: A change made on this change's graph.
        """
        distilled = {name for name in self.distilled if _survives(name, later)}
        return Change(
            graph=later.graph,
            affected=topological_order(later.graph, {*self.affected, *later.affected}),
            repairs=(*_composed_fits(self, later), *_composed_statistics(self, later)),
            sources=_composed_sources(self, later),
            new_nodes=later.new_nodes | self.new_nodes.intersection(later.graph),
            distilled=topological_order(later.graph, distilled.union(later.distilled)),
        )

    @property
    def fit_repairs(self) -> tuple[FitOutputs, ...]:
        """The repairs that fit outputs, in topological order."""
        return tuple(r for r in self.repairs if isinstance(r, FitOutputs))

    @property
    def statistics_repairs(self) -> tuple[MeasureStatistics, ...]:
        """The repairs that measure statistics, in topological order."""
        return tuple(r for r in self.repairs if isinstance(r, MeasureStatistics))


def topological_order(graph: Graph, names: Collection[str]) -> tuple[str, ...]:
    """Return the nodes of a graph that are among these names, inputs first."""
    return tuple(n for n in graph.topological_order() if n in names) if names else ()


# --- Composition ---------------------------------------------------------------------------------


def _survives(name: str, later: Change) -> bool:
    """Return whether a node is still there after a change, and not replaced under its name."""
    return name in later.graph and name not in later.new_nodes


def _composed_sources(first: Change, later: Change) -> dict[str, np.ndarray]:
    """Return the source of each channel after both changes, for the nodes of the child.

    Channel j after both is channel later[j] of the graph between, which is channel
    first[later[j]] of the parent; it is fresh if either change made it fresh.
    """
    composed = {name: source for name, source in first.sources.items() if _survives(name, later)}
    for name in composed.keys() - later.sources.keys():
        width = later.graph.shapes()[name][-1]
        if width != first.graph.shapes()[name][-1]:
            # It passes on the channels of another layer now, as one before it was removed.
            composed[name] = np.full(width, FRESH)
    for name, source in later.sources.items():
        if name in composed:
            # A fresh channel has source -1, which would index the last channel: mask it.
            source = np.where(source < 0, FRESH, composed[name][source])
        if name in later.graph:
            composed[name] = source
    return composed


def _composed_fits(first: Change, later: Change) -> tuple[FitOutputs, ...]:
    surviving = (r.node for r in first.fit_repairs if _survives(r.node, later))
    nodes = {*surviving, *(r.node for r in later.fit_repairs)}
    return tuple(FitOutputs(n) for n in topological_order(later.graph, nodes))


def _composed_statistics(first: Change, later: Change) -> tuple[MeasureStatistics, ...]:
    repairs = {repair.node: repair for repair in later.statistics_repairs}
    for repair in first.statistics_repairs:
        if _survives(repair.node, later):
            # The channels to measure may have moved, or all have been pruned.
            moved = _moved(repair, later.sources.get(repair.node))
            if moved.channels != ():
                repairs[repair.node] = _union(moved, repairs.get(repair.node))
    return tuple(repairs[n] for n in topological_order(later.graph, repairs))


def _moved(repair: MeasureStatistics, source: np.ndarray | None) -> MeasureStatistics:
    """Return a repair for the channels that come from those it named."""
    if source is None or repair.channels is None:
        return repair
    channels = np.flatnonzero(np.isin(source, repair.channels))
    return replace(repair, channels=tuple(map(int, channels)))


def _union(first: MeasureStatistics, second: MeasureStatistics | None) -> MeasureStatistics:
    """Return one repair for the channels of two; the first decides about the identity."""
    if second is None:
        return first
    channels = None
    if first.channels is not None and second.channels is not None:
        channels = tuple(sorted({*first.channels, *second.channels}))
    return replace(first, channels=channels)
