"""The common look of all figures, and their files."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from lemonade_tf.store.atomic import write_atomic

WIDTH, HEIGHT = 7.5, 5.0  # inches, of a figure with a single plot
DOTS_PER_INCH = 144


def new_figure() -> tuple[Any, Any]:
    """Return a figure with a single plot, and its axes."""
    figure = blank_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    style(axes)
    return figure, axes


def blank_figure(width: float, height: float) -> Any:
    """Return a figure without axes; width and height are in inches."""
    from matplotlib.figure import Figure  # takes half a second that a search does not need

    return Figure(figsize=(width, height), layout="constrained")


def style(axes: Any) -> None:
    """Give axes a pale grid and no frame."""
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def write_figure(path: Path, figure: Any) -> None:
    """Write a figure as .png, .svg or .pdf, by the suffix of the path.

    Missing folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content, form = io.BytesIO(), path.suffix.removeprefix(".").lower()
    with warnings.catch_warnings():
        # The font may lack characters of a path in a title; they become boxes.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure.savefig(content, format=form, dpi=DOTS_PER_INCH)
    write_atomic(path, content.getvalue())
