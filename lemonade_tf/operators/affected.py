"""Which nodes an edit affects, and which repairs they need.

Distillation trains the nodes that approximate operators affected (A.1), where a batch normalization
counts as part of the convolution before it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import ABSORBERS, ChannelChange
from lemonade_tf.architecture.channel_runs import FRESH
from lemonade_tf.architecture.layers import BatchNormalization
from lemonade_tf.operators.change import FitOutputs, MeasureStatistics, topological_order


def changed_nodes(graph: Graph, change: ChannelChange) -> tuple[str, ...]:
    """Return the nodes whose weights a change of channels changed, in topological order."""
    return topological_order(graph, {*change.producers, *change.carriers, *change.absorbers})


def normalizations_after(graph: Graph, name: str) -> tuple[str, ...]:
    """Return the batch normalizations that consume a node."""
    consumers = graph.consumers(name)
    return tuple(n for n in consumers if isinstance(graph[n].layer, BatchNormalization))


def fit_repairs(graph: Graph, names: Iterable[str]) -> tuple[FitOutputs, ...]:
    """Return repairs that fit the convolutions and dense layers among some nodes."""
    return tuple(FitOutputs(n) for n in names if isinstance(graph[n].layer, ABSORBERS))


def statistics_repairs(graph: Graph, names: Iterable[str]) -> tuple[MeasureStatistics, ...]:
    """Return repairs that measure the batch normalizations among some nodes, all channels."""
    return tuple(
        MeasureStatistics(n) for n in names if isinstance(graph[n].layer, BatchNormalization)
    )


def fresh_statistics_repairs(graph: Graph, change: ChannelChange) -> tuple[MeasureStatistics, ...]:
    """Return repairs that measure the fresh channels of batch normalizations."""
    repairs = []
    for name in topological_order(graph, change.carriers):
        fresh = np.flatnonzero(change.sources[name] == FRESH)
        if len(fresh) and isinstance(graph[name].layer, BatchNormalization):
            repairs.append(MeasureStatistics(name, tuple(map(int, fresh))))
    return tuple(repairs)
