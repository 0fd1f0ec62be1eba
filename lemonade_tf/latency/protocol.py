"""How a time is measured: passes over and over, until what they say no longer changes.

The paper (A.3) measures "the time for doing inference on a batch of 100 images" on a GPU, and
averages over 5,000 passes. That is `PAPER`. By default, passes are repeated until the relative
standard error of their median is small, which takes a fraction of a second on a quiet machine, or
until time is up. The median, because what else a machine does makes some passes longer and none
shorter.

A pass may take some microseconds, and reading the clock is not free: passes are timed in groups
that take a millisecond together. For a median, that of a sample of n with the interquartile range
r has the standard error 1.2533 * (r / 1.349) / sqrt(n), if errors are normal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from math import ceil, inf, sqrt
from statistics import fmean, median, quantiles
from typing import Any, Literal

_OF_A_MEDIAN = 1.2533 / 1.349  # its standard error, in interquartile ranges / sqrt(n)


@dataclass(frozen=True)
class Protocol:
    """How a time is measured.

    Attributes:
        batch_size: Images of a pass, for `latency`; LiteRT is measured on one image.
        average: What the time is: the "median" or the "mean" of the groups.
        warm_up: Passes before those that count; at least one, which compiles.
        group_seconds: Passes are timed in groups that take this long together, or longer.
        least_groups: Groups at least.
        error: Ends it: the relative standard error of the average; 0 for never.
        most_passes: Ends it: so many passes.
        most_seconds: Ends it: so many seconds, the warm-up left out.
    """

    batch_size: int = 100
    average: Literal["median", "mean"] = "median"
    warm_up: int = 3
    group_seconds: float = 1e-3
    least_groups: int = 15
    error: float = 0.01
    most_passes: float = inf
    most_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.average not in ("median", "mean"):
            raise ValueError(f"average is {self.average!r}; expected 'median' or 'mean'.")
        for name in ("batch_size", "warm_up", "least_groups", "most_passes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1.")
        if not self.error and self.most_passes == self.most_seconds == inf:
            raise ValueError("error, most_passes and most_seconds set no end; set one of them.")

    def as_json(self) -> dict[str, Any]:
        """Return plain values; what has no end is None."""
        return {k: None if v == inf else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Protocol:
        """Return what `as_json` returned.

        Raises:
            ValueError: Values are unknown, or make no sense.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"a protocol of measuring has no {', '.join(sorted(unknown))}.")
        return cls(**{k: inf if v is None else v for k, v in values.items()})


DEFAULT = Protocol()
PAPER = Protocol(average="mean", group_seconds=0.0, error=0.0, most_passes=5000, most_seconds=inf)
# For the some 180 networks of a table, of which none has to be exact.
TABLE = Protocol(error=0.02, most_seconds=0.15)
PROTOCOLS: Mapping[str, Protocol] = {"default": DEFAULT, "paper": PAPER}


@dataclass(frozen=True)
class Measurement:
    """A time, and how sure it is.

    Attributes:
        seconds: Of a pass.
        num_passes: How many passes it is the average of.
        error: Its relative standard error.
    """

    seconds: float
    num_passes: int
    error: float


def measure(
    run: Callable[[], Any],
    protocol: Protocol = DEFAULT,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Measurement:
    """Return how long a call takes.

    Args:
        run: What is timed; a pass.
        protocol: How.
        clock: Returns seconds.
    """
    for _ in range(protocol.warm_up):
        run()
    start = clock()
    run()
    first = max(clock() - start, 1e-9)
    size = max(1, ceil(protocol.group_seconds / first))
    times: list[float] = []
    begin = end = clock()
    while not times or not _suffices(times, size, end - begin, protocol):
        start = clock()  # anew: what `_suffices` took is no part of a pass
        for _ in range(size):
            run()
        end = clock()
        times.append((end - start) / size)
    return Measurement(_average(times, protocol), size * len(times), _error(times, protocol))


def _suffices(times: list[float], size: int, seconds: float, protocol: Protocol) -> bool:
    if seconds >= protocol.most_seconds or size * len(times) >= protocol.most_passes:
        return True
    if not protocol.error:  # which takes as long as there are times
        return False
    return len(times) >= protocol.least_groups and _error(times, protocol) <= protocol.error


def _average(times: list[float], protocol: Protocol) -> float:
    return median(times) if protocol.average == "median" else fmean(times)


def _error(times: list[float], protocol: Protocol) -> float:
    """Return the relative standard error of the average; infinity of one time alone."""
    if len(times) < 2:
        return inf
    if protocol.average == "median":
        lower, _, upper = quantiles(times, n=4)
        error = _OF_A_MEDIAN * (upper - lower) / sqrt(len(times))
    else:
        mean = fmean(times)
        error = sqrt(sum((t - mean) ** 2 for t in times) / (len(times) - 1) / len(times))
    return error / max(_average(times, protocol), 1e-12)
