"""The front in parallel coordinates: one axis per objective, one line per network.

All objectives are minimized, so low is good on each axis. The lines of a front cross: a network
whose line were the lowest on every axis would dominate the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.axes import end_labels, tick_labels
from lemonade_tf.report.colors import error_colors
from lemonade_tf.report.figure import HEIGHT, WIDTH, blank_figure
from lemonade_tf.report.formatting import display_name
from lemonade_tf.report.scales import positions
from lemonade_tf.runs.run import Run
from lemonade_tf.store import NetworkRecord

AXIS_DISTANCE = 1.6  # inches
MAX_THICK_LINES = 60  # with more networks, lines are thinner
INK = "#444444"
# A pale background keeps labels readable where lines cross them.
BACKGROUND = {
    "bbox": {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
    "zorder": 4,
}


def parallel_figure(run: Run) -> Any:
    """Plot the networks of the front as lines across one axis per objective."""
    objectives, front = (run.error, *run.others), run.front()
    figure = blank_figure(max(WIDTH, AXIS_DISTANCE * len(objectives) + 0.6), HEIGHT)
    axes = figure.subplots()
    colors = error_colors(run.error, front)
    heights = [positions(objective, front) for objective in objectives]
    width, alpha = (1.4, 0.8) if len(front) <= MAX_THICK_LINES else (0.6, 0.6)
    # The networks with the lowest errors are plotted last, on top of the others.
    for i in sorted(range(len(front)), key=lambda i: -front[i].error):
        axes.plot(
            range(len(objectives)),
            [of_axis[i] for of_axis in heights],
            color=colors.to_rgba(front[i].error),
            marker="o",
            markersize=2 * width,
            linewidth=width,
            alpha=alpha,
        )
    for x, objective in enumerate(objectives):
        _plot_axis(axes, x, objective, front)
    axes.set(xlim=(-0.35, len(objectives) - 0.65), ylim=(-0.14, 1.16))
    axes.axis("off")
    networks = "network" if len(front) == 1 else "networks"
    axes.set_title(
        f"{len(front)} {networks} on the front in {len(objectives)} objectives: low is good, dark"
        f" is a low {display_name(run.error)}",
        loc="left",
        fontsize=10,
    )
    return figure


def _plot_axis(axes: Any, x: int, objective: Objective, front: Sequence[NetworkRecord]) -> None:
    """Plot an axis with its name, the labels of its ends, and round values between them."""
    axes.plot([x, x], [0, 1], color=INK, linewidth=1, zorder=1)
    axes.text(x, 1.1, display_name(objective), ha="center", va="bottom", fontsize=9)
    for at, text in end_labels(objective, front).items():
        beyond, side = (at - 0.03, "top") if at == 0 else (at + 0.03, "bottom")
        axes.text(x, beyond, text, ha="center", va=side, fontsize=9, weight="bold", **BACKGROUND)
    for at, text in tick_labels(objective, front).items():
        axes.plot([x - 0.03, x], [at, at], color=INK, linewidth=0.8, zorder=1)
        axes.text(x - 0.06, at, text, ha="right", va="center", color=INK, fontsize=8, **BACKGROUND)
