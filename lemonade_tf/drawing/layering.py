"""Layers of boxes with few crossings: the first two steps of the method of Sugiyama et al. (1981).

1. Every box is assigned to a layer below the layers of all its inputs. An arrow that spans more
   than one layer gets a *dummy vertex* in each layer that it passes, so that every arrow becomes a
   chain of steps from one layer to the next and has a free lane between the boxes.
2. The vertices of each layer are ordered so that few steps cross. The exact minimum is NP-hard
   even for two layers; sweeps up and down that sort each layer by the mean position of its
   neighbors (the barycenter heuristic), followed by exchanges of adjacent vertices, come close.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise, product
from random import Random

NUM_STARTS = 16
NUM_SWEEPS = 4
MAX_ARRANGEMENTS = 12

Edge = tuple[int, int]
Neighbors = Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class Layers:
    """Vertices in layers: boxes and, numbered after them, dummy vertices.

    Attributes:
        num_boxes: The number of boxes; a vertex is a dummy if its number is not below this.
        rows: The vertices of each layer from left to right, the top layer first.
        paths: For each edge the vertices that it passes, one per layer, from box to box. Dummy
            vertices are numbered in the order in which they occur here.
    """

    num_boxes: int
    rows: list[list[int]]
    paths: dict[Edge, list[int]]

    def steps(self) -> list[Edge]:
        """Return the parts of all paths, each from one layer to the next."""
        return list(chain.from_iterable(map(pairwise, self.paths.values())))


def arrange_layers(num_boxes: int, edges: Sequence[Edge]) -> list[Layers]:
    """Return arrangements of a graph in layers with as few crossings as were found.

    There are several starts: with each box as low and as high as its edges allow, and for both from
    the order of the boxes and from random orders. The result is deterministic.

    Args:
        num_boxes: The number of boxes.
        edges: From one box to a later one, each given once.

    Returns:
        Different arrangements, at most MAX_ARRANGEMENTS, those with the fewest dummies first.
    """
    random = Random(0)
    found = []
    for ranks in _possible_ranks(num_boxes, edges):
        layers = _insert_dummies(ranks, edges)
        for start in range(NUM_STARTS):
            rows = [list(row) for row in layers.rows]
            if start:
                for row in rows:
                    random.shuffle(row)
            for swept in _sweep(rows, layers.steps()):
                candidate = replace(layers, rows=swept)
                found.append((_crossings(candidate), candidate))
    fewest = min(crossings for crossings, _ in found)
    best: list[Layers] = []
    for crossings, candidate in found:
        if crossings == fewest and candidate not in best:
            best.append(candidate)
    best.sort(key=lambda layers: sum(map(len, layers.rows)))
    return best[:MAX_ARRANGEMENTS]


def _possible_ranks(num_boxes: int, edges: Sequence[Edge]) -> tuple[list[int], list[int]]:
    """Return the layer of each box, once as low and once as high as its edges allow.

    The highest layer is one more than the longest path to the box. From there, a box with
    consumers can sink to the layer above the first of them. Neither leaves a layer without boxes:
    those of a longest path cannot move.
    """
    highest = [0] * num_boxes
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        highest[target] = max(highest[target], highest[source] + 1)
    lowest = [max(highest)] * num_boxes
    sinks = set(range(num_boxes)) - {source for source, _ in edges}
    for sink in sinks:
        lowest[sink] = highest[sink]
    for source, target in sorted(edges, reverse=True):
        lowest[source] = min(lowest[source], lowest[target] - 1)
    return lowest, highest


def _insert_dummies(ranks: Sequence[int], edges: Sequence[Edge]) -> Layers:
    """Return the boxes in their layers, with a dummy vertex wherever an edge passes a layer."""
    rows: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    for box, rank in enumerate(ranks):
        rows[rank].append(box)
    paths = {}
    new = len(ranks)
    for source, target in edges:
        path = [source]
        for rank in range(ranks[source] + 1, ranks[target]):
            rows[rank].append(new)
            path.append(new)
            new += 1
        paths[source, target] = [*path, target]
    return Layers(len(ranks), rows, paths)


# --- The order in each layer -------------------------------------------------------------------


def _sweep(rows: list[list[int]], steps: Sequence[Edge]) -> list[list[list[int]]]:
    """Return the orders of all layers after each sweep down or up."""
    above: dict[int, list[int]] = {vertex: [] for row in rows for vertex in row}
    below: dict[int, list[int]] = {vertex: [] for vertex in above}
    for source, target in steps:
        above[target].append(source)
        below[source].append(target)
    position = {vertex: at for row in rows for at, vertex in enumerate(row)}
    found = []
    for sweep in range(NUM_SWEEPS):
        downwards = sweep % 2 == 0
        fixed = above if downwards else below
        for row in rows if downwards else reversed(rows):
            # Ties are resolved against the current order every other time; otherwise vertices with
            # the same neighbors would never change places.
            row.sort(key=position.__getitem__, reverse=sweep % 4 > 1)
            row.sort(key=lambda vertex: _barycenter(vertex, fixed[vertex], position))
            position.update(zip(row, range(len(row)), strict=True))
        _exchange_neighbors(rows, above, below, position)
        found.append([list(row) for row in rows])
    return found


def _barycenter(vertex: int, neighbors: Sequence[int], position: Mapping[int, int]) -> float:
    """Return the mean position of the neighbors of a vertex; its own if it has none."""
    if not neighbors:
        return position[vertex]
    return sum(position[neighbor] for neighbor in neighbors) / len(neighbors)


def _exchange_neighbors(
    rows: list[list[int]], above: Neighbors, below: Neighbors, position: dict[int, int]
) -> None:
    """Exchange adjacent vertices, in place, as long as that removes crossings."""
    improved = True
    while improved:
        improved = False
        for row in rows:
            for at in range(len(row) - 1):
                left, right = row[at : at + 2]
                pairs = chain.from_iterable(product(n[left], n[right]) for n in (above, below))
                ends = ((position[a], position[b]) for a, b in pairs)
                if sum((a > b) - (a < b) for a, b in ends) > 0:
                    row[at], row[at + 1] = right, left
                    position[left], position[right] = at + 1, at
                    improved = True


def _crossings(layers: Layers) -> int:
    """Return how many pairs of steps cross.

    Two steps between the same layers cross if the one that starts further to the right ends
    further to the left. So in order of their starts, each step crosses the earlier ones that end
    to the right of it.
    """
    position = {vertex: at for row in layers.rows for at, vertex in enumerate(row)}
    rank = {vertex: at for at, row in enumerate(layers.rows) for vertex in row}
    steps = sorted((rank[a], position[a], position[b]) for a, b in layers.steps())
    count, gap, ends = 0, 0, []
    for at, _, end in steps:
        if at > gap:
            gap, ends = at, []
        count += len(ends) - bisect(ends, end)
        insort(ends, end)
    return count
