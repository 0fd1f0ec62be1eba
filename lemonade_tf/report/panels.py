"""The error against every other objective, a panel each (Figure 6 of the paper).

As there, the error is along the bottom of all panels.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.figure import blank_figure, style
from lemonade_tf.report.front_plot import stair
from lemonade_tf.report.scales import drawn, dress
from lemonade_tf.runs.run import Run

PANEL = (4.2, 3.3)  # inches
MAX_COLUMNS = 3
FRONT, OTHERS = "#35608d", "#b8bcc2"


def panels_figure(run: Run) -> Any:
    """Draw a panel for each objective but the error: all networks, and the front."""
    count = len(run.others)
    num_columns = 2 if count in (2, 4) else min(count, MAX_COLUMNS)
    num_rows = ceil(count / num_columns)
    figure = blank_figure(PANEL[0] * num_columns, PANEL[1] * num_rows + 0.3)
    grid = figure.subplots(num_rows, num_columns, squeeze=False).flat
    for axes, objective in zip(grid, run.others, strict=False):
        _draw_panel(axes, run, objective)
    for axes in list(grid)[count:]:
        axes.remove()
    figure.align_ylabels()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False)
    return figure


def _draw_panel(axes: Any, run: Run, objective: Objective) -> None:
    front = run.front()
    for lines, color, size, text in (
        (run.trained, OTHERS, 8, "all networks"),
        (front, FRONT, 18, f"front in all {len(run.objectives)} objectives"),
    ):
        axes.scatter(
            drawn(run.error, lines),
            drawn(objective, lines),
            s=size,
            color=color,
            linewidths=0,
            label=text,
        )
    steps = stair(front, run.error, objective)
    axes.plot(
        drawn(run.error, steps),
        drawn(objective, steps),
        drawstyle="steps-post",
        color=FRONT,
        linewidth=1,
        label="front in the two of a panel",
    )
    dress(axes, "x", run.error)
    dress(axes, "y", objective)
    style(axes)
