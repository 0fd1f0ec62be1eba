"""The front in parallel coordinates: an axis an objective, a line a network.

All objectives are minimised, so low is good on each axis. A line that is low everywhere would
dominate the others; on a front, lines cross.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.colors import error_colors
from lemonade_tf.report.figure import HEIGHT, WIDTH, blank_figure
from lemonade_tf.report.quantities import in_words, written_short
from lemonade_tf.report.scales import extent, tick_values, values_of
from lemonade_tf.runs.run import Run
from lemonade_tf.store import NetworkRecord

AXIS_WIDTH = 1.6  # inches
FEW = 60  # networks; the lines of more are thinner
INK = "#444444"
# Behind numbers, so that lines do not hide them.
BACKED = {
    "bbox": {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
    "zorder": 4,
}
NEAR = 0.06  # of an axis: a number so near to an end would cover that of the end


def parallel_figure(run: Run) -> Any:
    """Draw the networks of the front as lines across an axis for each objective."""
    objectives, front = (run.error, *run.others), run.front()
    figure = blank_figure(max(WIDTH, AXIS_WIDTH * len(objectives) + 0.6), HEIGHT)
    axes = figure.subplots()
    colors = error_colors(run)
    heights = [positions(objective, front) for objective in objectives]
    width, alpha = (1.4, 0.8) if len(front) <= FEW else (0.6, 0.6)
    # The best are drawn last, on top.
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
    for place, objective in enumerate(objectives):
        _draw_axis(axes, place, objective, front)
    axes.set(xlim=(-0.35, len(objectives) - 0.65), ylim=(-0.14, 1.16))
    axes.axis("off")
    networks = "network" if len(front) == 1 else "networks"
    axes.set_title(
        f"{len(front)} {networks} on the front in {len(objectives)} objectives: low is good, dark"
        f" is a low {in_words(run.error)}",
        loc="left",
        fontsize=10,
    )
    return figure


def positions(objective: Objective, lines: Sequence[NetworkRecord]) -> list[float]:
    """Return where networks lie between the least (0) and the largest (1) among them."""
    low, high = extent(objective, lines)
    return [_position(objective, value, low, high) for value in values_of(objective, lines)]


def _position(objective: Objective, value: float, low: float, high: float) -> float:
    if objective.scale == "log":
        return log(value / low) / log(high / low)
    return (value - low) / (high - low)


def ends(objective: Objective, lines: Sequence[NetworkRecord]) -> dict[float, str]:
    """Return the numbers at the ends of an axis by their positions; of equal values, one."""
    values = values_of(objective, lines)
    if not values:
        return {}
    if min(values) == max(values):
        return {0.5: written_short(objective, values[:1])[0]}
    least, largest = written_short(objective, [min(values), max(values)])
    return {0.0: least, 1.0: largest}


def ticks_between(objective: Objective, lines: Sequence[NetworkRecord]) -> dict[float, str]:
    """Return the round numbers between the ends of an axis by their positions."""
    if len(ends(objective, lines)) < 2:
        return {}
    low, high = extent(objective, lines)
    ticks = tick_values(objective, low, high, most=5)
    numbers = zip(ticks, written_short(objective, ticks), strict=True)
    texts = {_position(objective, tick, low, high): text for tick, text in numbers}
    return {at: text for at, text in texts.items() if NEAR < at < 1 - NEAR}


def _draw_axis(axes: Any, place: int, objective: Objective, front: Sequence[NetworkRecord]) -> None:
    """Draw an axis with its name, the numbers at its ends, and round ones between."""
    axes.plot([place, place], [0, 1], color=INK, linewidth=1, zorder=1)
    axes.text(place, 1.1, in_words(objective), ha="center", va="bottom", fontsize=9)
    for at, text in ends(objective, front).items():
        beyond, side = (at - 0.03, "top") if at == 0 else (at + 0.03, "bottom")
        axes.text(place, beyond, text, ha="center", va=side, fontsize=9, weight="bold", **BACKED)
    for at, text in ticks_between(objective, front).items():
        axes.plot([place - 0.03, place], [at, at], color=INK, linewidth=0.8, zorder=1)
        axes.text(place - 0.06, at, text, ha="right", va="center", color=INK, fontsize=8, **BACKED)
