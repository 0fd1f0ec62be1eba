"""The axes of plots: scales, limits, and the ticks that are labelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, isfinite, log, log10
from typing import Any, Literal

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.formatting import display_name, format_ticks
from lemonade_tf.store import NetworkRecord

MARGIN = 0.06  # space beyond the outermost values, as a fraction of the axis
SINGLE_VALUE_FACTOR = 1.5  # how far a log axis extends around a single value
MIN_DISTANCE = 0.06  # between a tick label and that of an end, as a fraction of the axis
# Multiples of powers of ten that are labelled, from many to few.
_MULTIPLES = ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,))


def values_of(objective: Objective, networks: Sequence[NetworkRecord]) -> list[float]:
    """Return the values of an objective."""
    return [network.objectives[objective.name] for network in networks]


def plot_values(objective: Objective, networks: Sequence[NetworkRecord]) -> list[float]:
    """Return the values of an objective for a plot: fractions in percent."""
    factor = 100 if objective.unit == "fraction" else 1
    return [factor * value for value in values_of(objective, networks)]


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


def extent(objective: Objective, networks: Sequence[NetworkRecord]) -> tuple[float, float]:
    """Return the least and the largest value; widened if they are equal."""
    values = values_of(objective, networks)
    low, high = min(values, default=1.0), max(values, default=1.0)
    if low < high:
        return low, high
    if objective.scale == "log":
        return low / SINGLE_VALUE_FACTOR, high * SINGLE_VALUE_FACTOR
    return low - (abs(low) / 2 or 1.0), high + (abs(high) / 2 or 1.0)


def limits(objective: Objective, low: float, high: float) -> tuple[float, float]:
    """Return the limits of an axis for values from low to high."""
    if objective.scale == "log":
        factor = (high / low) ** MARGIN
        return low / factor, high * factor
    margin = MARGIN * (high - low)
    return low - margin, high + margin


# --- Parallel coordinates: axes from 0, the least value, to 1, the largest ---


def positions(objective: Objective, networks: Sequence[NetworkRecord]) -> list[float]:
    """Return where the values of networks lie between the least (0) and the largest (1)."""
    low, high = extent(objective, networks)
    return [_position(objective, value, low, high) for value in values_of(objective, networks)]


def _position(objective: Objective, value: float, low: float, high: float) -> float:
    if objective.scale == "log":
        return log(value / low) / log(high / low)
    return (value - low) / (high - low)


def end_labels(objective: Objective, networks: Sequence[NetworkRecord]) -> dict[float, str]:
    """Return the labels of the least and the largest value by position; a single one if equal."""
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
    by_position = {_position(objective, tick, low, high): text for tick, text in labels}
    return {at: text for at, text in by_position.items() if MIN_DISTANCE < at < 1 - MIN_DISTANCE}


# --- Round numbers ---


def tick_values(objective: Objective, low: float, high: float, most: int) -> list[float]:
    """Return at most `most` round values from low to high on the scale of an objective.

    At least one: low, if there is no round value between.
    """
    if objective.scale == "log":
        ticks = next(ticks for ticks in _log_ticks(low, high) if len(ticks) <= most)
        if len(ticks) >= 2:
            return ticks
    return _linear_ticks(low, high, most) or [low]


def _log_ticks(low: float, high: float) -> Iterator[list[float]]:
    """Yield candidates for the ticks of a log axis, each with fewer ticks than the last."""
    first, last = floor(log10(low)), ceil(log10(high))
    for multiples in _MULTIPLES:
        ticks = (m * 10.0**power for power in range(first, last + 1) for m in multiples)
        yield [tick for tick in ticks if low <= tick <= high]
    # Even the powers of ten alone are too many: take every second, every third, ...
    powers = [power for power in range(first, last + 1) if low <= 10.0**power <= high]
    for step in range(2, len(powers) + 2):
        yield [10.0**power for power in powers if power % step == 0]
    yield []


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    for bins in range(most, 0, -1):
        ticks = MaxNLocator(bins, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        ticks = [float(tick) for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            return ticks
    return []
