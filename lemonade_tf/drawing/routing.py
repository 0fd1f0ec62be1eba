"""How arrows run: where they leave and enter boxes, and on which tracks they go sideways."""

from __future__ import annotations

from collections.abc import Sequence

MIN_GAP = 5.0  # else none gets its wish
TOUCHING = 4.0  # lines that come this close look like one


def ports(wishes: Sequence[float], room: float, gap: float) -> list[float]:
    """Return where arrows meet the border of a box, from the left.

    The arrow with the nearest wish gets it, so that it runs straight, and so do others that can;
    the rest stand beside them.

    Args:
        wishes: Where each would run straight, from the middle of the box.
        room: How far from the middle an arrow may be.
        gap: From one to the next, if there is room.
    """
    last = len(wishes) - 1
    for index in sorted(range(last + 1), key=lambda index: abs(wishes[index])):
        wish = wishes[index]
        spaces = [(room + wish) / index] if index else []
        spaces += [(room - wish) / (last - index)] if index < last else []
        fits = min([gap, *spaces])
        if abs(wish) <= room and fits >= MIN_GAP:
            mirrored = [-other for other in reversed(wishes[:index])]
            left = [-x for x in reversed(_outwards(mirrored, -wish, room, fits))]
            return [*left, wish, *_outwards(wishes[index + 1 :], wish, room, fits)]
    fits = min(gap, 2 * room / max(last, 1))
    return [(index - last / 2) * fits for index in range(last + 1)]


def _outwards(wishes: Sequence[float], start: float, room: float, gap: float) -> list[float]:
    """Return where the arrows to the right of one meet the border."""
    result, x = [], start
    for left, wish in zip(reversed(range(len(wishes))), wishes, strict=True):
        x = wish if x + gap <= wish <= room - left * gap else x + gap
        result.append(x)
    return result


def tracks(segments: Sequence[tuple[float, float]]) -> list[int]:
    """Return on which track, from the top, each of some arrows goes from one x to another.

    They come from above and go on below; those that share a track stay apart, and crossings are
    few, by choosing greedily which one is to be above all that are left.
    """
    cost = [[_crossings(a, b) for b in segments] for a in segments]
    left, result = set(range(len(segments))), [0] * len(segments)
    placed: list[int] = []
    while left:
        chosen = min(left, key=lambda a: (sum(cost[a][b] - cost[b][a] for b in left), a))
        left.remove(chosen)
        over = [b for b in placed if _overlap(segments[b], segments[chosen])]
        result[chosen] = max((result[b] + 1 for b in over), default=0)
        placed.append(chosen)
    return result


def _crossings(upper: tuple[float, float], lower: tuple[float, float]) -> int:
    """Return how often two arrows cross if the first goes sideways above the second.

    Vertical parts in one line would lie on each other, which is worse.
    """
    covered = 10 * (abs(upper[1] - lower[0]) < TOUCHING)
    return covered + _within(lower[0], upper) + _within(upper[1], lower)


def _within(x: float, segment: tuple[float, float]) -> bool:
    return min(segment) < x < max(segment)


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return min(a) - TOUCHING < max(b) and min(b) - TOUCHING < max(a)
