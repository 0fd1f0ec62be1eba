"""Values on the scale of an objective: their extent, their positions, and round values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, log, log10

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.store import NetworkRecord

MARGIN = 0.06  # space beyond the outermost values, as a fraction of the axis
SINGLE_VALUE_FACTOR = 1.5  # how far a log axis extends around a single value
# Multiples of powers of ten that are labeled, from many to few.
_MULTIPLES = ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,))


def values_of(objective: Objective, networks: Sequence[NetworkRecord]) -> list[float]:
    """Return the values of an objective."""
    return [network.objectives[objective.name] for network in networks]


def plot_values(objective: Objective, networks: Sequence[NetworkRecord]) -> list[float]:
    """Return the values of an objective for a plot: fractions in percent."""
    factor = 100 if objective.unit == "fraction" else 1
    return [factor * value for value in values_of(objective, networks)]


def extent(objective: Objective, networks: Sequence[NetworkRecord]) -> tuple[float, float]:
    """Return the smallest and the largest value; widened if they are equal."""
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


def positions(objective: Objective, networks: Sequence[NetworkRecord]) -> list[float]:
    """Return where the values of networks lie between the smallest (0) and the largest (1)."""
    low, high = extent(objective, networks)
    return [position(objective, value, low, high) for value in values_of(objective, networks)]


def position(objective: Objective, value: float, low: float, high: float) -> float:
    """Return where a value lies between low (0) and high (1) on the scale of an objective."""
    if objective.scale == "log":
        return log(value / low) / log(high / low)
    return (value - low) / (high - low)


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
