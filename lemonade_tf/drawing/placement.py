"""Positions of the boxes and the arrows of a picture: a layered drawing with orthogonal arrows.

Each box is below all its inputs. An arrow passes a layer on its own lane between the boxes and runs
horizontally only in the gap between two layers, on a track. So no arrow can run through a box.
The steps are those of Sugiyama et al. (1981), each in its own module: `layering` assigns layers and
orders them, `x_positions` straightens, `routing` chooses ports and tracks; here they are combined.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lemonade_tf.drawing.boxes import Diagram
from lemonade_tf.drawing.layering import Edge, Layers, arrange_layers
from lemonade_tf.drawing.routing import assign_ports, assign_tracks
from lemonade_tf.drawing.x_positions import x_positions

Point = tuple[float, float]
Arrow = tuple[Edge, int]  # arrows between the same two boxes are numbered
Columns = dict[Arrow, dict[int, float]]  # arrow -> layer -> x

BOX_GAP = 18.0
LANE_GAP = 14.0
LAYER_GAP = 24.0  # if all arrows between two layers are straight
TRACK_GAP = 8.0
STUB = 13.0  # from a layer to the nearest track
PORT_GAPS = (11.0, 14.0)  # above a box and below it; different, or lines could meet in a gap
CORNER_GAP = 10.0  # from the corner of a box to an arrow


@dataclass(frozen=True)
class Placement:
    """Positions in points; x to the right and y downwards from the corner (0, 0).

    Attributes:
        width: The width of the picture.
        height: The height of the picture.
        centers: The center of each box.
        routes: The corners of the line of each arrow, from the border of one box to the border of
            the other.
    """

    width: float
    height: float
    centers: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]


def place(diagram: Diagram, sizes: Sequence[tuple[float, float]]) -> Placement:
    """Return positions for the boxes and the arrows of a diagram, deterministically.

    Args:
        diagram: The boxes and arrows.
        sizes: The width and the height of each box, in points.
    """
    copies = Counter(diagram.arrows)
    layers, x, widths = _straightest(copies, [width for width, _ in sizes])
    columns = _columns(layers, copies, x, widths)
    turns: dict[Arrow, list[Point]] = {arrow: [] for arrow in columns}
    y = [0.0] * len(sizes)
    height = 0.0
    # From the top, layer by layer: the boxes, then a gap with as many tracks as its arrows need.
    for rank, row in enumerate(layers.rows):
        boxes = [vertex for vertex in row if vertex < len(sizes)]
        deepest = max(sizes[box][1] for box in boxes)
        for box in boxes:
            y[box] = height + deepest / 2
        height += deepest
        turning = {
            arrow: (xs[rank], xs[rank + 1])
            for arrow, xs in columns.items()
            if rank in xs and rank + 1 in xs and xs[rank] != xs[rank + 1]
        }
        tracks = assign_tracks(list(turning.values()))
        for (arrow, ends), track in zip(turning.items(), tracks, strict=True):
            turns[arrow] += [(end, height + STUB + track * TRACK_GAP) for end in ends]
        height += 2 * STUB + max(tracks) * TRACK_GAP if tracks else LAYER_GAP
    routes = []
    seen = Counter[Edge]()
    for source, target in diagram.arrows:
        arrow = (source, target), seen[source, target]
        seen[source, target] += 1
        first, *_, last = columns[arrow].values()
        start, end = y[source] + sizes[source][1] / 2, y[target] - sizes[target][1] / 2
        routes.append(((first, start), *turns[arrow], (last, end)))
    return Placement(
        max(middle + width / 2 for middle, width in zip(x, widths, strict=True)),
        max(middle + depth / 2 for middle, (_, depth) in zip(y, sizes, strict=True)),
        tuple(zip(x, y, strict=False)),
        tuple(routes),
    )


def _straightest(
    copies: Mapping[Edge, int], box_widths: Sequence[float]
) -> tuple[Layers, list[float], list[float]]:
    """Return the arrangement with the straightest lines, and the x and width of its vertices.

    Crossings matter more: only the arrangements with the fewest are compared.
    """
    found = []
    for layers in arrange_layers(len(box_widths), list(copies)):
        widths = list(box_widths)
        for edge, path in layers.paths.items():  # several parallel arrows need a wider lane
            widths += [LANE_GAP * (copies[edge] - 1)] * (len(path) - 2)
        x, cost = x_positions(layers, widths, (BOX_GAP, LANE_GAP))
        found.append((round(cost, 3), layers, x, widths))
    _, layers, x, widths = min(found, key=lambda candidate: candidate[0])
    return layers, x, widths


def _columns(
    layers: Layers, copies: Mapping[Edge, int], x: Sequence[float], widths: Sequence[float]
) -> Columns:
    """Return the x at which each arrow passes each layer, ports at its two boxes included."""
    rank = {vertex: number for number, row in enumerate(layers.rows) for vertex in row}
    order = {vertex: number for row in layers.rows for number, vertex in enumerate(row)}
    columns: Columns = {}
    # (box, whether below it) -> the arrows there: the order of their next vertices, their number,
    # their edge, and where a port would let them run straight.
    sides = defaultdict[tuple[int, bool], list[tuple[int, int, Edge, float]]](list)
    for edge, path in layers.paths.items():
        for number in range(copies[edge]):
            shift = LANE_GAP * (number - (copies[edge] - 1) / 2)
            columns[edge, number] = {rank[vertex]: x[vertex] + shift for vertex in path}
            for box, neighbor in (path[:2], path[:-3:-1]):
                distance = x[neighbor] - x[box]
                # A lane is followed to its x. Two boxes in adjacent layers meet halfway.
                preferred = shift + (distance if len(path) > 2 else distance / 2)
                sides[box, box == edge[0]].append((order[neighbor], number, edge, preferred))
    for (box, below), arrows in sides.items():
        arrows.sort(key=lambda arrow: arrow[:2])  # ports in the order of the ends: no crossing
        room, gap = widths[box] / 2 - CORNER_GAP, PORT_GAPS[below]
        offsets = assign_ports([preferred for *_, preferred in arrows], room, gap)
        for (_, number, edge, _), offset in zip(arrows, offsets, strict=True):
            columns[edge, number][rank[box]] = x[box] + offset
    # Rounded, so that lines which are straight but for rounding errors count as straight.
    return {arrow: {at: round(x, 3) for at, x in xs.items()} for arrow, xs in columns.items()}
