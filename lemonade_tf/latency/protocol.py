"""Protocols for measuring a time: when to stop repeating passes, and how to average them.

The paper (A.3) measures "the time for doing inference on a batch of 100 images" on a GPU, and
averages over 5,000 passes: `PAPER`. By default, passes are repeated until the relative standard
error of their median is small, which takes a fraction of a second on a quiet machine, or until a
time limit, and the shortest time counts: other jobs of the machine make passes longer, never
shorter. (The median is robust to a few slow passes. If most are slow, as on a busy machine, the
networks of a table are slowed down unequally.)

A pass may take only microseconds, and reading the clock takes time as well. So passes are timed in
groups that take a millisecond together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from math import ceil, inf, sqrt
from statistics import fmean, median, quantiles
from typing import Any, Literal

# For normal errors, the standard error of the median of n values is 1.2533 sigma / sqrt(n), and
# their interquartile range is 1.349 sigma.
_MEDIAN_ERROR = 1.2533 / 1.349
_AVERAGES = {"minimum": min, "median": median, "mean": fmean}


@dataclass(frozen=True)
class Protocol:
    """How a time is measured.

    Attributes:
        batch_size: Images per pass, in runtimes that take a batch.
        average: The "minimum", the "median" or the "mean" of the groups.
        warm_up: Untimed passes at the start; at least one, which compiles the network.
        group_seconds: The minimum duration of a group of passes that is timed together.
        min_groups: The minimum number of groups.
        max_standard_error: Stop once the relative standard error of the average is this small; 0
            for never.
        max_passes: Stop after this number of passes.
        max_seconds: Stop after this time, warm-up excluded.

    Raises:
        ValueError: If a value is out of range, or no condition ever stops the measurement.
    """

    batch_size: int = 100
    average: Literal["minimum", "median", "mean"] = "median"
    warm_up: int = 3
    group_seconds: float = 1e-3
    min_groups: int = 15
    max_standard_error: float = 0.01
    max_passes: float = inf
    max_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.average not in _AVERAGES:
            raise ValueError(f"average is {self.average!r}; expected one of {list(_AVERAGES)}.")
        for name in ("batch_size", "warm_up", "min_groups", "max_passes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1.")
        if not self.max_standard_error and self.max_passes == self.max_seconds == inf:
            raise ValueError(
                "max_standard_error is 0, max_passes and max_seconds are infinite; expected a"
                " condition that stops the measurement. Set one of them."
            )

    def as_json(self) -> dict[str, Any]:
        """Return plain values; infinity becomes None."""
        return {k: None if v == inf else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Protocol:
        """Return the protocol that `as_json` converted.

        Raises:
            ValueError: If a value is unknown or out of range.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings of a protocol: {', '.join(sorted(unknown))}.")
        plain: dict[str, Any] = {k: inf if v is None else v for k, v in values.items()}
        return cls(**plain)


DEFAULT = Protocol(average="minimum")
PAPER = Protocol(
    average="mean", group_seconds=0.0, max_standard_error=0.0, max_passes=5000, max_seconds=inf
)
# A table averages out the errors of its 180 networks, so each may be less accurate.
TABLE = Protocol(average="minimum", max_standard_error=0.02, max_seconds=0.15)
PROTOCOLS: Mapping[str, Protocol] = {"default": DEFAULT, "paper": PAPER}


@dataclass(frozen=True)
class Measurement:
    """A measured time.

    Attributes:
        seconds: Seconds per pass or per image.
        num_passes: The number of passes averaged.
        standard_error: The relative standard error of the average, for the minimum that of the
            median; infinity for a single group.
    """

    seconds: float
    num_passes: int
    standard_error: float


def measure(
    run: Callable[[], Any],
    protocol: Protocol = DEFAULT,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Measurement:
    """Measure the duration of a call.

    Args:
        run: The function to time, a pass of a network.
        protocol: How to measure.
        clock: Returns the time in seconds.
    """
    for _ in range(protocol.warm_up):
        run()
    # One more pass sets the size of a group.
    start = clock()
    run()
    first = max(clock() - start, 1e-9)
    size = max(1, ceil(protocol.group_seconds / first))
    times: list[float] = []
    started = end = clock()
    while not times or not _is_enough(times, size, end - started, protocol):
        start = clock()  # excludes the time that `_is_enough` takes
        for _ in range(size):
            run()
        end = clock()
        times.append((end - start) / size)
    return Measurement(
        _average(times, protocol), size * len(times), _standard_error(times, protocol)
    )


def _is_enough(times: list[float], size: int, seconds: float, protocol: Protocol) -> bool:
    if seconds >= protocol.max_seconds or size * len(times) >= protocol.max_passes:
        return True
    if not protocol.max_standard_error:  # skip the standard error, which costs O(groups)
        return False
    if len(times) < protocol.min_groups:
        return False
    return _standard_error(times, protocol) <= protocol.max_standard_error


def _average(times: list[float], protocol: Protocol) -> float:
    return _AVERAGES[protocol.average](times)


def _standard_error(times: list[float], protocol: Protocol) -> float:
    """Return the relative standard error of the average; infinity for a single value."""
    if len(times) < 2:
        return inf
    if protocol.average != "mean":
        lower, _, upper = quantiles(times, n=4)
        error = _MEDIAN_ERROR * (upper - lower) / sqrt(len(times))
    else:
        mean = fmean(times)
        error = sqrt(sum((t - mean) ** 2 for t in times) / (len(times) - 1) / len(times))
    return error / max(_average(times, protocol), 1e-12)
