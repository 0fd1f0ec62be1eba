"""Boxes and lanes in layers, by Sugiyama's method, and how far to the right each goes.

The library grandalf deals the boxes out to layers, each below all that it reads, and orders the
layers so that few arrows cross. An arrow that passes layers by has a lane in each of them.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import itemgetter
from random import Random
from typing import Any

STARTS = 8
ROUNDS = 3
# How much a line should be straight, by how many of its two ends are lanes; and a longest path.
STRAIGHTNESS = (4.0, 8.0, 64.0)
TRUNK = 64.0

Edge = tuple[int, int]


@dataclass(frozen=True)
class Layers:
    """What stands where: places, which are boxes and, numbered after these, lanes.

    Attributes:
        rows: The places of each layer, from the left.
        paths: For each edge the places that it runs through, one a layer, from box to box. Lanes
            are numbered in the order in which they come here.
    """

    rows: list[list[int]]
    paths: dict[Edge, list[int]]

    def steps(self) -> list[Edge]:
        """Return the parts of all paths, each from one layer to the next."""
        return list(chain.from_iterable(map(pairwise, self.paths.values())))


def layers_of(number: int, edges: Sequence[Edge]) -> Layers:
    """Return the layers of a connected graph, with few crossings.

    grandalf sorts the layers round by round, to a local optimum; hence the best of some starts,
    with each box as far to the bottom or to the top as it can be.

    Args:
        number: Of the boxes.
        edges: From one box to a later one, each given once.
    """
    random = Random(0)
    tried = []
    for late in (True, False):
        layout, places = _layout(number, edges, late=late)
        paths = {}
        for edge, link in zip(edges, layout.g.E(), strict=True):
            way = layout.ctrls.get(link) or dict(enumerate(link.v))
            paths[edge] = [places.setdefault(way[rank], len(places)) for rank in sorted(way)]
        for start in range(STARTS):
            for row in layout.layers:
                if start:
                    random.shuffle(row)
                row.setup(layout)
            for _ in range(ROUNDS):
                for _ in layout.ordering_step():
                    pass  # one layer after the other, down and up again
                tried.append(Layers([[places[at] for at in row] for row in layout.layers], paths))
    return min(tried, key=lambda layers: (_crossings(layers), sum(map(len, layers.rows))))


def _layout(number: int, edges: Sequence[Edge], *, late: bool) -> tuple[Any, dict[Any, int]]:
    """Return a graph in grandalf, dealt out to layers, and which vertex is which box."""
    from grandalf.graphs import Edge as Link  # only where something is drawn
    from grandalf.graphs import Vertex, graph_core
    from grandalf.layouts import SugiyamaLayout, VertexViewer

    vertices = [Vertex() for _ in range(number)]
    for vertex in vertices:
        vertex.view = VertexViewer()
    links = [Link(vertices[source], vertices[target]) for source, target in edges]
    layout = SugiyamaLayout(graph_core(vertices, links))
    layout.init_all(inverted_edges=[], optimize=late)
    return layout, {vertex: box for box, vertex in enumerate(vertices)}


def _crossings(layers: Layers) -> int:
    """Return how often arrows cross, at least."""
    position = {place: at for row in layers.rows for at, place in enumerate(row)}
    rank = {place: at for at, row in enumerate(layers.rows) for place in row}
    steps = sorted((rank[a], position[a], position[b]) for a, b in layers.steps())
    count, gap, seen = 0, 0, []
    for at, _, end in steps:
        if at > gap:
            gap, seen = at, []
        count += len(seen) - bisect(seen, end)
        insort(seen, end)
    return count


def across(
    layers: Layers, widths: Sequence[float], number: int, gaps: tuple[float, float]
) -> list[float]:
    """Return how far to the right the middle of each place is, by a linear programme.

    What is connected shall stand below each other (Gansner, Koutsofios, North & Vo, 1993,
    section 4): the sum of all distances to the side is least, the order in each layer is kept.

    Args:
        layers: What to place.
        widths: Of all places.
        number: Of the boxes.
        gaps: From a box to its neighbours, and from lane to lane.
    """
    import numpy as np
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    steps = layers.steps()
    total = len(widths)
    rows = []  # (place, place, number of the step or None, at most)
    for index, (a, b) in enumerate(steps):
        rows += [(a, b, total + index, 0.0), (b, a, total + index, 0.0)]
    for a, b in chain.from_iterable(map(pairwise, layers.rows)):
        apart = (widths[a] + widths[b]) / 2 + gaps[min(a, b) >= number]
        rows.append((a, b, None, -apart))
    entries = [
        (index, column, value)
        for index, (a, b, step, _) in enumerate(rows)
        for column, value in ((a, 1.0), (b, -1.0), (step, -1.0))
        if column is not None
    ]
    at, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
    shape = (len(rows), total + len(steps))
    trunk = _trunk(layers.paths)
    cost = [
        TRUNK if step in trunk else STRAIGHTNESS[sum(place >= number for place in step)]
        for step in steps
    ]
    solution = linprog(
        [0.0] * total + cost,
        A_ub=csr_array((values, (at, columns)), shape=shape),
        b_ub=[row[-1] for row in rows],
    )
    lefts = solution.x[:total] - np.array(widths) / 2
    return [float(x) for x in np.round(solution.x[:total] - lefts.min(), 2)]


def _trunk(edges: Iterable[Edge]) -> set[Edge]:
    """Return the edges of a longest path."""
    depth, before = Counter[int](), {}
    for source, target in sorted(edges, key=itemgetter(1)):
        if depth[source] >= depth[target]:
            depth[target], before[target] = depth[source] + 1, source
    trunk, at = set(), max(depth, key=depth.__getitem__, default=0)
    while at in before:
        trunk.add((before[at], at))
        at = before[at]
    return trunk
