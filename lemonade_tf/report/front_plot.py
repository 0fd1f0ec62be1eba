"""The front over the generations, seen in two objectives (Figure 2 of the paper).

With more than two objectives, a network may be on the front for what a picture of two does not
show. The steps are then the front in the two that are shown: of any front in all objectives, the
part that is left if only these two count. The members of the last front in all objectives are
dots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lemonade_tf.evolution import pareto_front
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.figure import new_figure
from lemonade_tf.report.scales import drawn, dress
from lemonade_tf.runs.run import Run
from lemonade_tf.store import NetworkRecord

MAX_FRONTS = 5


def front_figure(run: Run, objective: Objective) -> Any:
    """Draw the error against an objective: all networks, and the front after generations."""
    from matplotlib import colormaps

    figure, axes = new_figure()
    last = max(run.num_generations, 1)

    def color(generation: int) -> Any:
        return colormaps["viridis_r"](0.1 + 0.9 * generation / last)

    axes.scatter(
        drawn(objective, run.trained),
        drawn(run.error, run.trained),
        c=[color(line.generation) for line in run.trained],
        s=14,
        alpha=0.45,
        linewidths=0,
    )
    for generation in shown_generations(run.num_generations):
        front = run.front(generation)
        if not front and run.trained:  # random networks have no initial ones
            continue
        label = "initial networks" if generation == 0 else f"generation {generation}"
        _draw_stair(axes, run, objective, front, color=color(generation), label=label)
    if len(run.objectives) > 2:
        _draw_members(axes, run, objective, color(last))
    dress(axes, "x", objective)
    dress(axes, "y", run.error)
    title = f"Pareto front over the generations: {run.config.dataset}"
    axes.set_title(title, loc="left", parse_math=False)  # a path may have a $
    axes.legend(frameon=False)
    return figure


def _draw_stair(
    axes: Any, run: Run, objective: Objective, front: Sequence[NetworkRecord], **style: Any
) -> None:
    steps = stair(front, objective, run.error)
    axes.plot(
        drawn(objective, steps),
        drawn(run.error, steps),
        drawstyle="steps-post",
        marker="o" if len(run.objectives) == 2 else "",
        markersize=4,
        **style,
    )


def _draw_members(axes: Any, run: Run, objective: Objective, color: Any) -> None:
    """Draw the networks of the last front in all objectives as dots."""
    front = run.front()
    axes.scatter(
        drawn(objective, front),
        drawn(run.error, front),
        s=26,
        color=color,
        edgecolors="white",
        linewidths=0.6,
        zorder=3,
        label=f"front in all {len(run.objectives)} objectives",
    )


def stair(
    lines: Sequence[NetworkRecord], first: Objective, second: Objective
) -> list[NetworkRecord]:
    """Return the networks that are not dominated in two objectives, in the order of the first."""
    if not lines:
        return []
    points = np.array([[line.objectives[o.name] for o in (first, second)] for line in lines])
    steps = [lines[i] for i in pareto_front(points, keep_equal=False)]
    return sorted(steps, key=lambda line: line.objectives[first.name])


def shown_generations(last: int) -> list[int]:
    """Return the generations whose fronts are drawn: the first two, the last, some between."""
    if last < MAX_FRONTS:
        return list(range(last + 1))
    between = np.geomspace(1, last, MAX_FRONTS - 1).round().astype(int)
    return sorted({0, *map(int, between)})
