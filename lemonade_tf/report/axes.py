"""The axes of plots: scales, limits, and labels of ticks."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Literal

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.formatting import display_name, format_ticks
from lemonade_tf.report.scales import extent, limits, position, tick_values, values_of
from lemonade_tf.store import NetworkRecord

MIN_DISTANCE = 0.06  # between a tick label and that of an end, as a fraction of the axis


def format_axis(axes: Any, which: Literal["x", "y"], objective: Objective) -> None:
    """Give an axis of a large plot the scale, ticks and label of an objective."""
    from matplotlib.ticker import EngFormatter

    name, unit = display_name(objective), objective.unit
    axes.set(**{f"{which}label": f"{name} (%)" if unit == "fraction" else name})
    axis = axes.xaxis if which == "x" else axes.yaxis
    is_log = objective.scale == "log" and isfinite(axis.get_minpos())  # infinite without values
    if is_log:
        axes.set(**{f"{which}scale": "log"})
    if unit != "fraction":
        axis.set_major_formatter(EngFormatter(unit, sep=" " if unit else ""))
    if is_log:
        axis.set_minor_formatter(_minor_formatter(axis.get_major_formatter()))


def _minor_formatter(formatter: Any) -> Any:
    """Return a formatter that labels minor ticks only where there are few powers of ten."""
    from matplotlib.ticker import LogFormatter

    class MinorFormatter(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return formatter(x) if super().__call__(x, pos) else ""

    return MinorFormatter(minor_thresholds=(1, 0.4))


def format_small_axis(
    axes: Any, which: Literal["x", "y"], objective: Objective, networks: Sequence[NetworkRecord]
) -> None:
    """Give an axis of a small plot the scale of an objective, few ticks, and tight limits."""
    from matplotlib.ticker import NullLocator

    low, high = extent(objective, networks)
    if objective.scale == "log":
        axes.set(**{f"{which}scale": "log"})
    axes.set(**{f"{which}lim": limits(objective, low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    ticks = tick_values(objective, low, high, most=3)
    axis.set_ticks(ticks, format_ticks(objective, ticks))
    axis.set_minor_locator(NullLocator())


def end_labels(objective: Objective, networks: Sequence[NetworkRecord]) -> dict[float, str]:
    """Return the labels of the extreme values by position; a single one if they are equal."""
    values = values_of(objective, networks)
    if not values:
        return {}
    if min(values) == max(values):
        return {0.5: format_ticks(objective, values[:1])[0]}
    least, largest = format_ticks(objective, [min(values), max(values)])
    return {0.0: least, 1.0: largest}


def tick_labels(objective: Objective, networks: Sequence[NetworkRecord]) -> dict[float, str]:
    """Return the labels of the round values between the ends of an axis, by position."""
    if len(end_labels(objective, networks)) < 2:
        return {}
    low, high = extent(objective, networks)
    ticks = tick_values(objective, low, high, most=5)
    labels = zip(ticks, format_ticks(objective, ticks), strict=True)
    by_position = {position(objective, tick, low, high): text for tick, text in labels}
    return {at: text for at, text in by_position.items() if MIN_DISTANCE < at < 1 - MIN_DISTANCE}
