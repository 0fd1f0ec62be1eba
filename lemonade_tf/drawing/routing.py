"""Ports and tracks: where arrows leave and enter boxes, and at which height they run horizontally.

Both are chosen greedily; there are only a few arrows per box and per gap between two layers.
"""

from __future__ import annotations

from collections.abc import Sequence

MIN_GAP = 5.0  # between two ports; if there is not room for it, no arrow gets its preferred port
TOUCHING = 4.0  # lines that come this close look like one


def assign_ports(preferred: Sequence[float], room: float, gap: float) -> list[float]:
    """Return where arrows meet the border of a box, from left to right.

    The arrow whose preferred port is nearest to the middle gets it, and so runs straight. From
    there outwards, each arrow gets its preferred port if that leaves room for the others, and the
    port next to the previous one otherwise.

    Args:
        preferred: The port at which each arrow would run straight, relative to the middle.
        room: The largest distance of a port from the middle.
        gap: The distance between two ports, if there is room for it.
    """
    last = len(preferred) - 1
    for index in sorted(range(last + 1), key=lambda index: abs(preferred[index])):
        anchor = preferred[index]
        spaces = [(room + anchor) / index] if index else []
        spaces += [(room - anchor) / (last - index)] if index < last else []
        possible = min([gap, *spaces])
        if abs(anchor) <= room and possible >= MIN_GAP:
            # The left side is the mirror image of the right side.
            mirrored = [-port for port in reversed(preferred[:index])]
            left = [-x for x in reversed(_outwards(mirrored, -anchor, room, possible))]
            return [*left, anchor, *_outwards(preferred[index + 1 :], anchor, room, possible)]
    possible = min(gap, 2 * room / max(last, 1))
    return [(index - last / 2) * possible for index in range(last + 1)]


def _outwards(preferred: Sequence[float], start: float, room: float, gap: float) -> list[float]:
    """Return the ports to the right of `start`, in order."""
    ports, x = [], start
    for still_to_come, wanted in zip(reversed(range(len(preferred))), preferred, strict=True):
        x = wanted if x + gap <= wanted <= room - still_to_come * gap else x + gap
        ports.append(x)
    return ports


def assign_tracks(segments: Sequence[tuple[float, float]]) -> list[int]:
    """Return the track, counted from the top, on which each arrow runs horizontally.

    Arrows enter a gap from above at one x and leave it downwards at another. Those on one track do
    not touch. Which arrow is above another decides whether they cross: the arrow placed next, below
    all placed ones, is always the one that causes the fewest crossings with those left.

    Args:
        segments: For each arrow the x at which it enters and the x at which it leaves.
    """
    cost = [[_crossings(a, b) for b in segments] for a in segments]
    left, tracks = set(range(len(segments))), [0] * len(segments)
    placed: list[int] = []
    while left:
        chosen = min(left, key=lambda a: (sum(cost[a][b] - cost[b][a] for b in left), a))
        left.remove(chosen)
        above = [b for b in placed if _overlap(segments[b], segments[chosen])]
        tracks[chosen] = max((tracks[b] + 1 for b in above), default=0)
        placed.append(chosen)
    return tracks


def _crossings(upper: tuple[float, float], lower: tuple[float, float]) -> int:
    """Return how often two arrows cross if the first runs horizontally above the second.

    If the first leaves where the second enters, their vertical parts coincide, which is worse.
    """
    coincide = 10 * (abs(upper[1] - lower[0]) < TOUCHING)
    return coincide + _within(lower[0], upper) + _within(upper[1], lower)


def _within(x: float, segment: tuple[float, float]) -> bool:
    return min(segment) < x < max(segment)


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return min(a) - TOUCHING < max(b) and min(b) - TOUCHING < max(a)
