"""Where the boxes and the arrows of a picture go: layer under layer, by Sugiyama's method.

Each box lies below all that it reads. An arrow passes a layer by on a lane of its own, and goes
sideways only in the gap between two layers, on a track: none can run through a box.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lemonade_tf.drawing.boxes import Diagram
from lemonade_tf.drawing.layering import Edge, Layers, across, layers_of
from lemonade_tf.drawing.routing import ports, tracks

Point = tuple[float, float]
Arrow = tuple[Edge, int]  # those between the same two boxes are numbered

BOX_GAP = 18.0
LANE_GAP = 14.0
LAYER_GAP = 24.0  # if all arrows go straight down
TRACK_GAP = 8.0
STUB = 13.0  # from a layer to a track
PORT_GAPS = (11.0, 14.0)  # above a box and below: not the same, else lines would meet in a gap
CORNER_GAP = 10.0  # from the corner of a box to an arrow


@dataclass(frozen=True)
class Placement:
    """Where everything goes, in points; x to the right and y downwards, from the corner (0, 0).

    Attributes:
        width: Of the whole.
        height: Of the whole.
        centers: The centre of each box.
        routes: For each arrow, the corners of its line, from the border of one box to that of the
            other.
    """

    width: float
    height: float
    centers: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]


def place(diagram: Diagram, sizes: Sequence[tuple[float, float]]) -> Placement:
    """Return where the boxes and the arrows of a diagram go; the same for the same diagram.

    Args:
        diagram: What to place.
        sizes: The width and the height of each box, in points.
    """
    copies = Counter(diagram.arrows)
    layers = layers_of(len(sizes), list(copies))
    widths = [width for width, _ in sizes]
    for edge, path in layers.paths.items():
        widths += [LANE_GAP * (copies[edge] - 1)] * (len(path) - 2)
    x = across(layers, widths, len(sizes), (BOX_GAP, LANE_GAP))
    columns = _columns(layers, copies, x, widths)
    turns: dict[Arrow, list[Point]] = {arrow: [] for arrow in columns}
    y = [0.0] * len(sizes)
    height = 0.0
    for rank, row in enumerate(layers.rows):
        boxes = [at for at in row if at < len(sizes)]
        deepest = max(sizes[box][1] for box in boxes)
        for box in boxes:
            y[box] = height + deepest / 2
        height += deepest
        turning = {
            arrow: (xs[rank], xs[rank + 1])
            for arrow, xs in columns.items()
            if rank in xs and rank + 1 in xs and xs[rank] != xs[rank + 1]
        }
        on = tracks(list(turning.values()))
        for (arrow, ends), track in zip(turning.items(), on, strict=True):
            turns[arrow] += [(end, height + STUB + track * TRACK_GAP) for end in ends]
        height += 2 * STUB + max(on) * TRACK_GAP if on else LAYER_GAP
    routes = []
    taken = Counter[Edge]()
    for source, target in diagram.arrows:
        arrow = (source, target), taken[source, target]
        taken[source, target] += 1
        first, *_, last = columns[arrow].values()
        start, end = y[source] + sizes[source][1] / 2, y[target] - sizes[target][1] / 2
        routes.append(((first, start), *turns[arrow], (last, end)))
    return Placement(
        max(middle + width / 2 for middle, width in zip(x, widths, strict=True)),
        max(middle + depth / 2 for middle, (_, depth) in zip(y, sizes, strict=True)),
        tuple(zip(x, y, strict=False)),
        tuple(routes),
    )


def _columns(
    layers: Layers, copies: Mapping[Edge, int], x: Sequence[float], widths: Sequence[float]
) -> dict[Arrow, dict[int, float]]:
    """Return where each arrow is in each layer that it comes to: layer -> x."""
    rank = {at: number for number, row in enumerate(layers.rows) for at in row}
    order = {at: number for row in layers.rows for number, at in enumerate(row)}
    columns: dict[Arrow, dict[int, float]] = {}
    sides = defaultdict(list)  # (box, whether below) -> what meets it there
    for edge, path in layers.paths.items():
        for number in range(copies[edge]):
            shift = LANE_GAP * (number - (copies[edge] - 1) / 2)
            columns[edge, number] = {rank[at]: x[at] + shift for at in path}
            for box, beside in (path[:2], path[:-3:-1]):
                away = x[beside] - x[box]
                wish = shift + (away if len(path) > 2 else away / 2)  # two boxes meet halfway
                sides[box, box == edge[0]].append((order[beside], number, edge, wish))
    for (box, below), meeting in sides.items():
        meeting.sort(key=lambda one: one[:2])
        room, gap = widths[box] / 2 - CORNER_GAP, PORT_GAPS[below]
        offsets = ports([wish for *_, wish in meeting], room, gap)
        for (_, number, edge, _), offset in zip(meeting, offsets, strict=True):
            columns[edge, number][rank[box]] = x[box] + offset
    return {arrow: {at: round(x, 3) for at, x in xs.items()} for arrow, xs in columns.items()}
