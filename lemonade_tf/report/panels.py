"""The error against every other objective, one panel each (Figure 6 of the paper).

As in the paper, the error is on the x-axis of all panels.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.axes import format_axis
from lemonade_tf.report.figure import blank_figure, style
from lemonade_tf.report.scales import plot_values
from lemonade_tf.report.staircase import staircase
from lemonade_tf.runs.run import Run

PANEL_SIZE = (4.2, 3.3)  # inches
MAX_COLUMNS = 3
FRONT_COLOR, OTHER_COLOR = "#35608d", "#b8bcc2"


def panels_figure(run: Run) -> Any:
    """Plot a panel for each objective but the error: all networks, and the front."""
    count = len(run.others)
    num_columns = 2 if count in (2, 4) else min(count, MAX_COLUMNS)
    num_rows = ceil(count / num_columns)
    figure = blank_figure(PANEL_SIZE[0] * num_columns, PANEL_SIZE[1] * num_rows + 0.3)
    grid = figure.subplots(num_rows, num_columns, squeeze=False).flat
    for axes, objective in zip(grid, run.others, strict=False):
        _plot_panel(axes, run, objective)
    for axes in list(grid)[count:]:
        axes.remove()
    figure.align_ylabels()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False)
    return figure


def _plot_panel(axes: Any, run: Run, objective: Objective) -> None:
    front = run.front()
    for networks, color, size, text in (
        (run.trained, OTHER_COLOR, 8, "all networks"),
        (front, FRONT_COLOR, 18, f"front in all {len(run.objectives)} objectives"),
    ):
        axes.scatter(
            plot_values(run.error, networks),
            plot_values(objective, networks),
            s=size,
            color=color,
            linewidths=0,
            label=text,
        )
    steps = staircase(front, run.error, objective)
    axes.plot(
        plot_values(run.error, steps),
        plot_values(objective, steps),
        drawstyle="steps-post",
        color=FRONT_COLOR,
        linewidth=1,
        label="front in the two objectives of a panel",
    )
    format_axis(axes, "x", run.error)
    format_axis(axes, "y", objective)
    style(axes)
