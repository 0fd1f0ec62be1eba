"""The drawing of a graph as plain numbers and text, for a page that draws it itself.

Widths of text are estimated, so that nothing but this package is needed.
"""

from __future__ import annotations

from typing import Any

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.drawing.boxes import Box, build_diagram
from lemonade_tf.drawing.placement import place

CHARACTER_WIDTH = 7.4  # points, of text in the size of the page
MIN_WIDTH, PADDING = 84.0, 16.0
HEIGHTS = {False: 24.0, True: 38.0}  # by whether there is a second line


def outline(graph: Graph) -> dict[str, Any]:
    """Return the boxes and the lines of a drawing.

    Returns:
        "width" and "height" in points; "boxes", each [x and y of its center, width, height, kind of
        layer, title, second line]; "routes", each [x, y, x, y, ...] of the corners of an arrow.
    """
    diagram = build_diagram(graph)
    sizes = [_size(box) for box in diagram.boxes]
    placement = place(diagram, sizes)
    return {
        "width": round(placement.width, 1),
        "height": round(placement.height, 1),
        "boxes": [
            [round(x, 1), round(y, 1), w, h, type(box.layer).__name__, box.title, box.detail]
            for box, (x, y), (w, h) in zip(diagram.boxes, placement.centers, sizes, strict=True)
        ],
        "routes": [
            [round(value, 1) for point in route for value in point] for route in placement.routes
        ],
    }


def _size(box: Box) -> tuple[float, float]:
    length = max(len(box.title), len(box.detail))
    width = max(MIN_WIDTH, CHARACTER_WIDTH * length + PADDING)
    return round(width, 1), HEIGHTS[bool(box.detail)]
