"""The end of a search with the setting `minutes`: no network starts that would not end in time.

How long a network takes is expected from those that were trained: the median time of the
NUM_NEAREST networks that are nearest in the logarithms of multiply-adds and number of layers. One
that takes longer is aborted a little after the end; leaving workers idle instead, for the longest
time that was seen, would cost a search of few children a fifth of its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import hypot, log
from statistics import fmean, median

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_multiply_adds

NUM_NEAREST = 5
RESERVED_SECONDS = 6.0  # for the start of the command, and for the report at its end
TOLERANCE = 0.05  # the share of its time by which a search may exceed it before tasks are aborted


class TimeBudget:
    """Knows the end of a search, and how long its networks take.

    Args:
        end: When the last network has to be complete, a value of the clock.
        tolerance: How many seconds later than that a network may still be in training.
        clock: The clock.

    Attributes:
        end: See above.
        abort_at: When networks in training are aborted; they are trained when it is resumed.
    """

    def __init__(
        self, end: float, tolerance: float = 0.0, clock: Callable[[], float] | None = None
    ) -> None:
        self.end, self.abort_at = end, end + tolerance
        self._clock = time.monotonic if clock is None else clock
        self._trained: list[tuple[float, float, float]] = []

    @property
    def seconds_left(self) -> float:
        """Seconds until the end."""
        return self.end - self._clock()

    @property
    def mean_seconds(self) -> float | None:
        """The mean seconds of a network; None before the first."""
        return fmean(seconds for *_, seconds in self._trained) if self._trained else None

    def note(self, graph: Graph, seconds: float) -> None:
        """Note how long a network took."""
        self._trained.append((*_size(graph), seconds))

    def expected(self, graph: Graph) -> float:
        """Return how many seconds a network is expected to take; 0 before the first."""
        size = _size(graph)
        nearest = sorted(
            (hypot(adds - size[0], layers - size[1]), seconds)
            for adds, layers, seconds in self._trained
        )[:NUM_NEAREST]
        return median(seconds for _, seconds in nearest) if nearest else 0.0

    def fits(self, graph: Graph) -> bool:
        """Return whether a network that starts now is expected to be complete in time."""
        return self.expected(graph) <= self.seconds_left


def _size(graph: Graph) -> tuple[float, float]:
    return log(1 + count_multiply_adds(graph)), log(len(graph))
