"""What all pictures of runs have in common: their look, and how they become files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from lemonade_tf.store.atomic import write_atomic

WIDTH, HEIGHT = 7.5, 5.0  # of a picture with one pair of axes, in inches
DOTS_PER_INCH = 144


def new_figure() -> tuple[Any, Any]:
    """Return a figure and its axes, as all pictures here have them."""
    figure = blank_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    style(axes)
    return figure, axes


def blank_figure(width: float, height: float) -> Any:
    """Return a figure without axes; sizes are in inches."""
    from matplotlib.figure import Figure  # half a second that a search need not wait for

    return Figure(figsize=(width, height), layout="constrained")


def style(axes: Any) -> None:
    """Give axes a pale grid, and no frame."""
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def write_figure(path: Path, figure: Any) -> None:
    """Write a figure to a file, whose suffix, .png, .svg or .pdf, chooses the format.

    Folders that are missing are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content, form = io.BytesIO(), path.suffix.removeprefix(".").lower()
    figure.savefig(content, format=form, dpi=DOTS_PER_INCH)
    write_atomic(path, content.getvalue())
