"""Every objective against every other, as the lower triangle of a matrix of panels."""

from __future__ import annotations

from typing import Any

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.axes import end_labels, format_small_axis
from lemonade_tf.report.colors import error_colors
from lemonade_tf.report.figure import blank_figure, style
from lemonade_tf.report.formatting import display_name
from lemonade_tf.report.scales import extent, values_of
from lemonade_tf.runs.run import Run

MIN_PANEL_SIZE, MIN_SIZE = 1.75, 6.0  # inches: of a panel, and of all panels together
MARGINS = (0.9, 0.6)  # inches for the labels on the left and at the bottom
OTHER_COLOR = "#c9ccd1"


def pairs_figure(run: Run) -> Any:
    """Plot all pairs of objectives: all networks pale, the front colored by error."""
    objectives = (run.error, *run.others)
    side = len(objectives) - 1
    size = max(MIN_SIZE, MIN_PANEL_SIZE * side)
    figure = blank_figure(size + MARGINS[0], size + MARGINS[1])
    grid = figure.subplots(side, side, squeeze=False)
    colors = error_colors(run.error, run.front())
    for row, y in enumerate(objectives[1:]):
        for column, x in enumerate(objectives[:-1]):
            axes = grid[row, column]
            if column > row:
                axes.remove()
                continue
            _plot_pair(axes, run, x, y, colors)
            axes.tick_params(labelleft=column == 0, labelbottom=row == side - 1, labelsize=8)
            axes.set_ylabel(display_name(y) if column == 0 else "", fontsize=9)
            axes.set_xlabel(display_name(x) if row == side - 1 else "", fontsize=9)
    figure.align_ylabels()
    _add_legend(figure, run, colors)
    return figure


def _plot_pair(axes: Any, run: Run, x: Objective, y: Objective, colors: Any) -> None:
    front = run.front()
    axes.scatter(values_of(x, run.trained), values_of(y, run.trained), s=6, color=OTHER_COLOR, lw=0)
    axes.scatter(
        values_of(x, front),
        values_of(y, front),
        s=18,
        c=values_of(run.error, front),
        norm=colors.norm,
        cmap=colors.cmap,
        edgecolors="white",
        linewidths=0.4,
    )
    format_small_axis(axes, "x", x, run.trained)
    format_small_axis(axes, "y", y, run.trained)
    style(axes)


def _add_legend(figure: Any, run: Run, colors: Any) -> None:
    """Explain the colors in the empty upper right corner."""
    front = run.front()
    width, height = figure.get_size_inches()
    left, top = 1 - 1.9 / width, 1 - 0.75 / height
    bar = figure.add_axes((left, top, 1.6 / width, 0.1 / height))
    figure.colorbar(colors, cax=bar, orientation="horizontal")
    low, high = extent(run.error, front)
    labels = {low + at * (high - low): text for at, text in end_labels(run.error, front).items()}
    bar.set_xticks(list(labels), list(labels.values()), fontsize=8)
    bar.minorticks_off()
    bar.set_title(
        f"front in all {len(run.objectives)} objectives,\nby {display_name(run.error)}",
        fontsize=9,
        loc="left",
    )
    figure.text(left, top - 0.5 / height, f"pale: all {len(run.trained)} networks", fontsize=8)
