"""The axes of pictures: an objective's scale, the numbers along it, its label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, isfinite, log10
from typing import Any, Literal

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.quantities import in_words, written_short
from lemonade_tf.store import NetworkRecord

# Which multiples of powers of ten get a number: from many to few.
_MULTIPLES = ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,))
MARGIN = 0.06  # of an axis, beyond the outermost values
ALONE = 1.5  # how far a log axis with a single value goes, as a factor


def values_of(objective: Objective, lines: Sequence[NetworkRecord]) -> list[float]:
    """Return the values of networks as they lie in the run."""
    return [line.objectives[objective.name] for line in lines]


def drawn(objective: Objective, lines: Sequence[NetworkRecord]) -> list[float]:
    """Return the values of networks as large pictures have them: fractions in percent."""
    factor = 100 if objective.unit == "fraction" else 1
    return [factor * value for value in values_of(objective, lines)]


def dress(axes: Any, which: Literal["x", "y"], objective: Objective) -> None:
    """Give an axis of a large picture the scale, numbers and label of an objective."""
    from matplotlib.ticker import EngFormatter

    words, unit = in_words(objective), objective.unit
    axes.set(**{f"{which}label": f"{words} (%)" if unit == "fraction" else words})
    axis = axes.xaxis if which == "x" else axes.yaxis
    is_log = objective.scale == "log" and isfinite(axis.get_minpos())  # there are values at all
    if is_log:
        axes.set(**{f"{which}scale": "log"})
    if unit != "fraction":
        axis.set_major_formatter(EngFormatter(unit, sep=" " if unit else ""))
    if is_log:
        axis.set_minor_formatter(_few(axis.get_major_formatter()))


def _few(formatter: Any) -> Any:
    """Return a formatter of what lies between the powers of ten: silent, unless there are few."""
    from matplotlib.ticker import LogFormatter

    class Few(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return formatter(x) if super().__call__(x, pos) else ""

    return Few(minor_thresholds=(1, 0.4))


def dress_small(
    axes: Any, which: Literal["x", "y"], objective: Objective, lines: Sequence[NetworkRecord]
) -> None:
    """Give an axis of a small picture a scale, few numbers, and the limits of the networks."""
    from matplotlib.ticker import NullLocator

    low, high = extent(objective, lines)
    if objective.scale == "log":
        axes.set(**{f"{which}scale": "log"})
    axes.set(**{f"{which}lim": limits(objective, low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    ticks = tick_values(objective, low, high, most=3)
    axis.set_ticks(ticks, written_short(objective, ticks))
    axis.set_minor_locator(NullLocator())


def extent(objective: Objective, lines: Sequence[NetworkRecord]) -> tuple[float, float]:
    """Return the least and the largest value of networks; apart even if all are the same."""
    values = values_of(objective, lines)
    low, high = min(values, default=1.0), max(values, default=1.0)
    if low < high:
        return low, high
    if objective.scale == "log":
        return low / ALONE, high * ALONE
    return low - (abs(low) / 2 or 1.0), high + (abs(high) / 2 or 1.0)


def limits(objective: Objective, low: float, high: float) -> tuple[float, float]:
    """Return the ends of an axis, a little beyond the values."""
    if objective.scale == "log":
        factor = (high / low) ** MARGIN
        return low / factor, high * factor
    margin = MARGIN * (high - low)
    return low - margin, high + margin


def tick_values(objective: Objective, low: float, high: float, most: int) -> list[float]:
    """Return round numbers from low to high by an objective's scale; at most so many, or low."""
    if objective.scale == "log":
        ticks = next(ticks for ticks in _log_ticks(low, high) if len(ticks) <= most)
        if len(ticks) >= 2:
            return ticks
    return _linear_ticks(low, high, most) or [low]


def _log_ticks(low: float, high: float) -> Iterator[list[float]]:
    """Yield the ticks of a log axis, fewer and fewer, until none is left."""
    first, last = floor(log10(low)), ceil(log10(high))
    for multiples in _MULTIPLES:
        ticks = (m * 10.0**power for power in range(first, last + 1) for m in multiples)
        yield [tick for tick in ticks if low <= tick <= high]
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
