"""Where the time of a run went, and how long it will still take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from lemonade_tf.store import NetworkRecord

PAUSE = 20  # times the median gap between two networks: longer gaps are pauses before a resumption


def seconds_by_phase(history: Sequence[NetworkRecord]) -> dict[str, float]:
    """Return the seconds of each phase of training, summed over all networks of a history."""
    totals: dict[str, float] = {}
    for record in history:
        for phase, seconds in record.seconds.items():
            if phase != "total":
                totals[phase] = totals.get(phase, 0.0) + seconds
    return totals


def seconds_used(history: Sequence[NetworkRecord]) -> float:
    """Return how long a search has trained, without the pauses of one that was resumed."""
    if not history:
        return 0.0
    times = sorted(record.timestamp for record in history)
    return history[0].seconds.get("total", 0.0) + sum(_usual_gaps(times))


def seconds_left(history: Sequence[NetworkRecord], num_expected: int) -> float | None:
    """Return the estimated seconds until a search is complete; None before two networks.

    From the mean time between networks, without the pauses of a search that was resumed.

    Args:
        history: The networks so far.
        num_expected: The number of networks that the whole search trains.
    """
    times = sorted(record.timestamp for record in history)
    usual = _usual_gaps(times)
    if not usual:
        return None
    return max(0, num_expected - len(history)) * sum(usual) / len(usual)


def _usual_gaps(times: Sequence[float]) -> list[float]:
    """Return the gaps between sorted times, without pauses."""
    gaps = [later - earlier for earlier, later in pairwise(times)]
    longest = PAUSE * max(median(gaps), 1e-3) if gaps else 0.0
    return [gap for gap in gaps if gap <= longest] or gaps
