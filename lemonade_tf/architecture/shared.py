"""The part that two networks share: the nodes near the input that are equal in both.

A child differs from its parent only from the first changed node on. Up to there both compute the
same values, so these need to be computed only once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from lemonade_tf.architecture.graph import Graph, Node
from lemonade_tf.architecture.layers import Dropout, TrainingOnly


@dataclass(frozen=True)
class SharedPart:
    """The nodes that two networks share, the input included.

    Attributes:
        nodes: Their names, which are the same in both.
        boundary: Those that nodes outside the shared part consume in either network, or that are an
            output, in topological order.
    """

    nodes: frozenset[str]
    boundary: tuple[str, ...]

    def num_values(self, graph: Graph) -> int:
        """Return how many values the boundary nodes output per image."""
        shapes = graph.shapes()
        return sum(int(np.prod(shapes[name])) for name in self.boundary)


def shared_part(first: Graph, second: Graph, changing: Collection[str] = ()) -> SharedPart:
    """Return the part that two networks share.

    A node is shared if its layer, weights and inputs are the same in both and its inputs are
    shared. Dropout and other layers of that kind are never shared: in training their output differs
    each time.

    Args:
        first: A network.
        second: Another network.
        changing: Nodes that do not count as shared even if they are equal, because their weights
            will be trained.
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
    boundary = (
        n
        for n in second.topological_order()
        if n in nodes and (_is_boundary(first, n, nodes) or _is_boundary(second, n, nodes))
    )
    return SharedPart(frozenset(nodes), tuple(boundary))


def _same(first: Node, second: Node) -> bool:
    return (
        first.layer == second.layer
        and first.inputs == second.inputs
        and not isinstance(second.layer, Dropout | TrainingOnly)
        and first.weights.keys() == second.weights.keys()
        and all(_equal(first.weights[key], second.weights[key]) for key in first.weights)
    )


def _equal(first: np.ndarray, second: np.ndarray) -> bool:
    return first is second or np.array_equal(first, second)


def _is_boundary(graph: Graph, name: str, nodes: set[str]) -> bool:
    return name in graph.outputs or not nodes.issuperset(graph.consumers(name))
