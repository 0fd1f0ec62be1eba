"""What the nodes of a network put out, one after the other, without compiling."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import prod
from typing import Any

from lemonade_tf.architecture import Graph

_MOST_VALUES = 2**26  # of one layer's output at a time: 256 MB in float32

Compute = Callable[[str, list[Any]], Any]  # (name of a node, values of its inputs) -> its values


def num_images_at_once(graph: Graph, most: int) -> int:
    """Return how many images to walk with: as many as given, fewer where they are too large."""
    largest = max(prod(shape) for shape in graph.shapes().values())
    return max(1, min(most, _MOST_VALUES // largest))


def walk(
    graph: Graph,
    known: Mapping[str, Any],
    until: Collection[str],
    compute: Compute,
    *,
    keep: Collection[str] = (),
) -> dict[str, Any]:
    """Compute nodes in the order of the graph, up to some of them.

    Values are dropped as soon as nobody reads them any more.

    Args:
        graph: The network.
        known: The values of nodes that need not be computed.
        until: The last nodes.
        compute: Computes a node.
        keep: The nodes whose values are wanted.

    Returns:
        Their values.
    """
    needed = _needed(graph, known, {*until, *keep})
    readers = dict.fromkeys((*needed, *known), 0)
    for name in needed:
        for source in set(graph[name].inputs):
            readers[source] += 1
    values = dict(known)
    for name in (n for n in graph.topological_order() if n in needed):
        inputs = graph[name].inputs
        values[name] = compute(name, [values[source] for source in inputs])
        for source in set(inputs):
            readers[source] -= 1
            if not readers[source] and source not in keep:
                del values[source]  # they are large
        if not readers[name] and name not in keep:
            del values[name]
    return {name: values[name] for name in keep}


def _needed(graph: Graph, known: Mapping[str, Any], until: Collection[str]) -> set[str]:
    """Return the nodes that have to be computed."""
    needed: set[str] = set()
    pending = [name for name in until if name not in known]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending.extend(n for n in graph[name].inputs if n not in known)
    return needed
