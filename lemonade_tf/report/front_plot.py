"""The front over the generations in two objectives (Figure 2 of the paper).

With more than two objectives, a network may be on the front because of an objective that the plot
does not show. The steps are then the front in the two shown objectives. The members of the last
front in all objectives are dots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.axes import format_axis
from lemonade_tf.report.figure import new_figure
from lemonade_tf.report.scales import plot_values
from lemonade_tf.report.staircase import staircase
from lemonade_tf.runs.run import Run
from lemonade_tf.store import NetworkRecord

MAX_FRONTS = 5


def front_figure(run: Run, objective: Objective) -> Any:
    """Plot the error against an objective: all networks, and the fronts of some generations."""
    from matplotlib import colormaps

    figure, axes = new_figure()
    last = max(run.num_generations, 1)

    def color(generation: int) -> Any:
        return colormaps["viridis_r"](0.1 + 0.9 * generation / last)

    axes.scatter(
        plot_values(objective, run.trained),
        plot_values(run.error, run.trained),
        c=[color(network.generation) for network in run.trained],
        s=14,
        alpha=0.45,
        linewidths=0,
    )
    for generation in shown_generations(run.num_generations):
        front = run.front(generation)
        if not front and run.trained:  # a random search has no initial networks
            continue
        label = "initial networks" if generation == 0 else f"generation {generation}"
        _plot_staircase(axes, run, objective, front, color=color(generation), label=label)
    if len(run.objectives) > 2:
        _plot_members(axes, run, objective, color(last))
    format_axis(axes, "x", objective)
    format_axis(axes, "y", run.error)
    title = f"Pareto front over the generations: {run.config.dataset}"
    axes.set_title(title, loc="left", parse_math=False)  # a path may contain a $
    axes.legend(frameon=False)
    return figure


def _plot_staircase(
    axes: Any, run: Run, objective: Objective, front: Sequence[NetworkRecord], **style: Any
) -> None:
    steps = staircase(front, objective, run.error)
    axes.plot(
        plot_values(objective, steps),
        plot_values(run.error, steps),
        drawstyle="steps-post",
        marker="o" if len(run.objectives) == 2 else "",
        markersize=4,
        **style,
    )


def _plot_members(axes: Any, run: Run, objective: Objective, color: Any) -> None:
    """Plot the networks of the last front in all objectives as dots."""
    front = run.front()
    axes.scatter(
        plot_values(objective, front),
        plot_values(run.error, front),
        s=26,
        color=color,
        edgecolors="white",
        linewidths=0.6,
        zorder=3,
        label=f"front in all {len(run.objectives)} objectives",
    )


def shown_generations(last: int) -> list[int]:
    """Return the generations whose fronts are plotted: 0, 1, the last, and some between."""
    if last < MAX_FRONTS:
        return list(range(last + 1))
    between = np.geomspace(1, last, MAX_FRONTS - 1).round().astype(int)
    return sorted({0, *map(int, between)})
