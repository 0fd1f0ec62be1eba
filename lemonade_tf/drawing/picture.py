"""Pictures of graphs as PNG, SVG or PDF.

Boxes and arrows as in Figures 9 to 14 of the paper, from the input at the top to the output at the
bottom; the color shows the kind of layer. All sizes are in points, 1/72 of an inch.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import (
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    ConvexSum,
    Dense,
    DepthwiseConv2D,
    Elementwise,
    GlobalPooling2D,
    Input,
    Layer,
    Pooling2D,
    SeparableConv2D,
)
from lemonade_tf.drawing.boxes import Box, build_diagram
from lemonade_tf.drawing.placement import Placement, Point, place
from lemonade_tf.errors import LemonadeError
from lemonade_tf.store.atomic import write_atomic

# No dates, so that equal pictures are equal files.
_METADATA = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}

MARGIN = 14.0
BOX_HEIGHTS = {1: 19.0, 2: 29.0}  # by the number of lines of text
BOX_PADDING = 9.0
MIN_BOX_WIDTH = 84.0
CORNER = 6.0
TITLE_SIZE = 11.0
TEXT_SIZE = 9.0
DETAIL_SIZE = 7.0
DPI = 144
MAX_PIXELS = 30_000  # per side of a PNG; few programs open larger ones

# (layers, fill, border); the first match counts
COLORS: tuple[tuple[tuple[type[Layer], ...], str, str], ...] = (
    ((Conv2D, Conv2DTranspose), "#dbe9f8", "#3f77b4"),
    ((SeparableConv2D, DepthwiseConv2D), "#d8f0ea", "#2f8f7b"),
    ((Pooling2D, GlobalPooling2D), "#fdebd0", "#c98a2b"),
    ((Concatenate,), "#ebe1f5", "#8358b0"),
    ((Elementwise, ConvexSum), "#fadfe6", "#bd4a6d"),
    ((Dense,), "#f3f2c9", "#94912a"),
    ((Input,), "#ffffff", "#555555"),
    ((Layer,), "#efefef", "#808080"),
)


class DrawingError(LemonadeError, ValueError):
    """The suffix of a picture is unknown, or the file cannot be written."""


def draw(graph: Graph, path: str | Path, *, title: str | None = None, shapes: bool = True) -> None:
    """Draw a graph and write the picture to a file atomically.

    The same graph and the same title give the same file.

    Args:
        graph: The network, or a part of one, with or without weights.
        path: The file; its suffix, .png, .svg or .pdf, selects the format.
        title: A line above the picture.
        shapes: Whether boxes show their output shapes.

    Raises:
        DrawingError: If the suffix is unknown or the file cannot be written.
    """
    from matplotlib import rc_context

    form = picture_format(path)
    figure = picture(graph, title=title, shapes=shapes)
    dpi = min(DPI, MAX_PIXELS / max(figure.get_size_inches()))
    content = io.BytesIO()
    with rc_context({"svg.hashsalt": "lemonade_tf"}):
        figure.savefig(content, format=form, dpi=dpi, metadata=_METADATA[form])
    try:
        write_atomic(path, content.getvalue())
    except OSError as error:
        reason = error.strerror or error
        raise DrawingError(
            f"{path} cannot be written: {reason}; choose a different file."
        ) from error


def picture_format(path: str | Path) -> str:
    """Return the format that the suffix of a file selects: "png", "svg" or "pdf".

    Raises:
        DrawingError: If the suffix is unknown.
    """
    suffix = Path(path).suffix
    form = suffix.removeprefix(".").lower()
    if form not in _METADATA:
        raise DrawingError(f"{path} has the suffix {suffix!r}; expected .png, .svg or .pdf.")
    return form


def picture(graph: Graph, *, title: str | None = None, shapes: bool = True) -> Any:
    """Draw a graph as a Matplotlib figure; see `draw` for the arguments."""
    from matplotlib.figure import Figure

    diagram = build_diagram(graph, shapes=shapes)
    sizes = [box_size(box) for box in diagram.boxes]
    placement = place(diagram, sizes)
    above = MARGIN + (2 * TITLE_SIZE if title else 0)
    title_width = _text_width(title, TITLE_SIZE) if title else 0.0
    width = max(placement.width, title_width) + 2 * MARGIN
    height = placement.height + above + MARGIN
    left = -(width - placement.width) / 2
    figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(left, left + width), ylim=(height - above, -above))
    if title:
        axes.text(left + MARGIN, -above / 2, title, size=TITLE_SIZE, va="center", parse_math=False)
    _draw_arrows(axes, placement)
    for box, center, size in zip(diagram.boxes, placement.centers, sizes, strict=True):
        _draw_box(axes, box, center, size)
    return figure


def box_size(box: Box) -> tuple[float, float]:
    """Return the width and the height that a box needs for its text."""
    widths = [_text_width(text, size) for text, size, _ in _lines(box)]
    return max(MIN_BOX_WIDTH, max(widths) + 2 * BOX_PADDING), BOX_HEIGHTS[len(widths)]


def _lines(box: Box) -> list[tuple[str, float, str]]:
    """Return the lines of text in a box as (text, font size, color)."""
    lines = [(box.title, TEXT_SIZE, "#111111")]
    return [*lines, (box.detail, DETAIL_SIZE, "#444444")] if box.detail else lines


@lru_cache(maxsize=1024)
def _text_width(text: str, size: float) -> float:
    from matplotlib.textpath import TextPath

    literal = text.replace("$", r"\$")  # a dollar sign would start a formula
    return float(TextPath((0, 0), literal, size=size).get_extents().width)


def _draw_box(axes: Any, box: Box, center: Point, size: tuple[float, float]) -> None:
    from matplotlib.patches import FancyBboxPatch

    (x, y), (width, height) = center, size
    fill, border = next(colors for kinds, *colors in COLORS if isinstance(box.layer, kinds))
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=4",
            facecolor=fill,
            edgecolor=border,
            linewidth=1,
        )
    )
    lines = _lines(box)
    shifts = (0.0,) if len(lines) == 1 else (-0.2 * height, 0.23 * height)
    for (text, text_size, color), shift in zip(lines, shifts, strict=True):
        axes.text(
            x,
            y + shift,
            text,
            size=text_size,
            color=color,
            ha="center",
            va="center",
            parse_math=False,
        )


def _draw_arrows(axes: Any, placement: Placement) -> None:
    from matplotlib.patches import FancyArrowPatch

    for route in placement.routes:
        axes.add_patch(
            FancyArrowPatch(
                path=_rounded(route),
                arrowstyle="-|>,head_length=0.45,head_width=0.22",
                mutation_scale=11,
                color="#555555",
                linewidth=0.9,
                joinstyle="miter",
            )
        )


def _rounded(route: tuple[Point, ...]) -> Any:
    """Return a line with rounded corners as a Matplotlib path."""
    from matplotlib.path import Path as Line

    corners = np.array(route)
    points, codes = [corners[0]], [Line.MOVETO]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        sides = np.array([before - corner, after - corner])
        lengths = np.hypot(*sides.T)
        reach = min(CORNER, lengths.min() / 3)  # leaves room for the head of the arrow
        enter, leave = corner + sides * (reach / lengths)[:, np.newaxis]
        points += [enter, corner, leave]
        codes += [Line.LINETO, Line.CURVE3, Line.CURVE3]
    return Line([*points, corners[-1]], [*codes, Line.LINETO])
