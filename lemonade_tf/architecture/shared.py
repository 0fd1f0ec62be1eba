"""What two networks have in common: the part behind the input that is the same in both.

A child that an operator made differs from its parent only from somewhere on. Before that, both
compute the same, so it needs computing only once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from lemonade_tf.architecture.graph import Graph, Node
from lemonade_tf.architecture.layers import Dropout


@dataclass(frozen=True)
class SharedPart:
    """The nodes that two networks share, the input among them.

    Attributes:
        nodes: Their names, the same in both.
        boundary: Those that other nodes of either network read, or that are an output, in order.
    """

    nodes: frozenset[str]
    boundary: tuple[str, ...]

    def num_values(self, graph: Graph) -> int:
        """Return how many values the boundary nodes output per image."""
        shapes = graph.shapes()
        return sum(int(np.prod(shapes[name])) for name in self.boundary)


def shared_part(first: Graph, second: Graph, changing: Collection[str] = ()) -> SharedPart:
    """Return what two networks share.

    A node is shared if layer, weights and inputs are the same in both, and its inputs are shared.
    Dropout is not: while training it puts out something else each time.

    Args:
        first: A network.
        second: Another one.
        changing: Nodes that are not to be shared though they are the same: their weights are to
            be trained.
    """
    nodes: set[str] = set()
    for name in second.topological_order():
        node = second[name]
        if (
            name in first
            and name not in changing
            and nodes.issuperset(node.inputs)
            and _same(first[name], node)
        ):
            nodes.add(name)
    ends = [
        n
        for n in second.topological_order()
        if n in nodes and (_ends(first, n, nodes) or _ends(second, n, nodes))
    ]
    return SharedPart(frozenset(nodes), tuple(ends))


def _same(first: Node, second: Node) -> bool:
    return (
        first.layer == second.layer
        and first.inputs == second.inputs
        and not isinstance(second.layer, Dropout)
        and first.weights.keys() == second.weights.keys()
        and all(_equal(first.weights[key], second.weights[key]) for key in first.weights)
    )


def _equal(first: np.ndarray, second: np.ndarray) -> bool:
    return first is second or np.array_equal(first, second)


def _ends(graph: Graph, name: str, nodes: set[str]) -> bool:
    return name == graph.output or not nodes.issuperset(graph.consumers(name))
