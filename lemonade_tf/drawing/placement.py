"""Where the boxes and the arrows of a picture go: layer under layer, by Sugiyama's method.

Each box lies below all that it reads; crossings are few; an arrow that passes layers by gets a
lane of its own beside their boxes. The library graphlay does it, from the sizes of the boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lemonade_tf.drawing.boxes import Diagram

Point = tuple[float, float]

_SPACING = {
    "layer_gap": 24.0,
    "node_gap": 18.0,
    "dummy_gap": 14.0,
    "port_gap": 14.0,
    "port_stroke_clear": 8.0,
    "stub": 10.0,
}
# Lines leave below and enter from above, each on its own. Straightened over small steps, or in
# bundles, they would run into boxes here and there.
_OPTIONS = {
    "direction": "topbottom",
    "routing": {"style": "orthogonal", "port_sides": "facing_only", "bundle_parallel": False},
    "tuning": {"routing": {"step_flatten": 0.0}},
}
_WIDENING = (1.0, 1.25, 1.5, 2.0, 3.0)
MIN_CLEARANCE = 3.0


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
    for widening in _WIDENING:
        layout = _layout(diagram, sizes, widening)
        clearance = layout.metrics()["min_edge_node_clearance"]  # None without arrows
        if clearance is None or clearance >= MIN_CLEARANCE:
            break
    left, top = layout.bounds["min"]["x"], layout.bounds["min"]["y"]

    def moved(point: Mapping[str, float]) -> Point:
        return point["x"] - left, point["y"] - top

    return Placement(
        layout.bounds["max"]["x"] - left,
        layout.bounds["max"]["y"] - top,
        tuple(moved(node["center"]) for node in layout.nodes),
        tuple(tuple(map(moved, edge["points"])) for edge in layout.edges),
    )


def _layout(diagram: Diagram, sizes: Sequence[tuple[float, float]], widening: float) -> Any:
    import graphlay  # only where something is drawn

    graph = graphlay.Graph()
    for width, height in sizes:
        graph.node(width=width, height=height)
    for source, target in diagram.arrows:
        graph.edge(source, target)
    options = {
        "spacing": {name: gap * widening for name, gap in _SPACING.items()},
        **_OPTIONS,
    }
    return graphlay.layout(graph, options=options)
