"""Boxes do not overlap and no arrow runs through a box, on random diagrams and networks."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from graphs import EXACT, GRAPHS, initial, random_chain

from lemonade_tf.architecture import layers as L
from lemonade_tf.drawing.boxes import Box, Diagram, build_diagram
from lemonade_tf.drawing.picture import box_size
from lemonade_tf.drawing.placement import place

TOLERANCE = 0.02  # points: placements are rounded


def random_diagram(seed):
    """Return a diagram of 2 to 59 boxes with many long and some double arrows, and sizes."""
    rng = np.random.default_rng(seed)
    number, share = int(rng.integers(2, 60)), rng.uniform(0, 0.4)
    arrows = []
    for target in range(1, number):
        reach = int(rng.integers(1, 12))
        sources = rng.integers(max(0, target - reach), target, size=1 + rng.binomial(3, share))
        arrows += [(int(source), target) for source in sources]
    leaves = set(range(number - 1)) - {source for source, _ in arrows}
    arrows += [(leaf, number - 1) for leaf in sorted(leaves)]
    boxes = tuple(Box((f"n{i}",), "", "", L.ReLU()) for i in range(number))
    sizes = [(float(rng.integers(84, 170)), float(rng.choice([19, 29]))) for _ in boxes]
    return Diagram(boxes, tuple(arrows)), sizes


def rectangles(placement, sizes):
    """Return (left, top, right, bottom) of each box."""
    return [
        (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        for (x, y), (width, height) in zip(placement.centers, sizes, strict=True)
    ]


def crosses(start, end, box, inset):
    """Return whether a horizontal or vertical line runs through a box shrunk by an inset."""
    (left, right), (top, bottom) = sorted((start[0], end[0])), sorted((start[1], end[1]))
    assert min(right - left, bottom - top) <= TOLERANCE
    return (
        left < box[2] - inset
        and right > box[0] + inset
        and top < box[3] - inset
        and bottom > box[1] + inset
    )


def touches(box, point):
    """Return whether a point is on the border of a box."""
    (left, top, right, bottom), (x, y) = box, point
    outside = max(left - x, x - right), max(top - y, y - bottom)
    return abs(max(outside)) <= TOLERANCE


def overlapping_arrows(placement):
    """Return the pairs of arrows that share more than a point of a line."""
    parts = [
        (arrow, side, start[side], *sorted((start[1 - side], end[1 - side])))
        for arrow, route in enumerate(placement.routes)
        for start, end in pairwise(route)
        for side in (0, 1)
        if abs(start[side] - end[side]) <= TOLERANCE
    ]
    return [
        (a, b)
        for (a, side, at, start, end), (b, other, there, begin, stop) in combinations(parts, 2)
        if a != b
        and side == other
        and abs(at - there) < 2
        and min(end, stop) - max(start, begin) > 1
    ]


def check_placement(diagram, sizes):
    placement = place(diagram, sizes)
    boxes = rectangles(placement, sizes)
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left >= -TOLERANCE
        assert top >= -TOLERANCE
        assert right <= placement.width + TOLERANCE
        assert bottom <= placement.height + TOLERANCE
        for other in boxes[:i]:
            assert right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
    assert len(placement.routes) == len(diagram.arrows)
    for (source, target), route in zip(diagram.arrows, placement.routes, strict=True):
        assert boxes[source][3] < boxes[target][1], "a box is below its inputs"
        for x, y in route:
            assert -TOLERANCE <= x <= placement.width + TOLERANCE
            assert -TOLERANCE <= y <= placement.height + TOLERANCE
        assert touches(boxes[source], route[0])
        assert touches(boxes[target], route[-1])
        for start, end in pairwise(route):
            for i, box in enumerate(boxes):
                inset = TOLERANCE if i in (source, target) else 0.0
                assert not crosses(start, end, box, inset), f"{source} -> {target} through {i}"


@pytest.mark.parametrize("seed", range(40))
def test_random_diagrams(seed):
    check_placement(*random_diagram(seed))


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_with_every_kind_of_layer(name):
    diagram = build_diagram(GRAPHS[name]())
    check_placement(diagram, [box_size(box) for box in diagram.boxes])


@pytest.mark.parametrize("seed", range(3))
def test_random_networks(seed):
    graph = initial(seed).copy(weights=False)
    rng = np.random.default_rng(seed)
    for step, (*_, change) in enumerate(random_chain(graph, EXACT, 18, rng, retrained=False), 1):
        if step % 6 == 0:
            diagram = build_diagram(change.graph)
            sizes = [box_size(box) for box in diagram.boxes]
            check_placement(diagram, sizes)
            assert overlapping_arrows(place(diagram, sizes)) == []


def test_repeated_inputs_become_parallel_arrows():
    boxes = tuple(Box((f"n{i}",), "", "", L.ReLU()) for i in range(4))
    arrows = ((0, 1), (0, 1), (1, 2), (2, 3), (1, 3), (1, 3))
    placement = place(Diagram(boxes, arrows), [(90.0, 19.0)] * 4)
    (first, second), (*_, left, right) = placement.routes[:2], placement.routes
    assert len(first) == len(second) == 2
    assert abs(first[0][0] - second[0][0]) >= 10
    assert max(y for _, y in left) == max(y for _, y in right)
    assert overlapping_arrows(placement) == []


def test_placement_is_deterministic():
    diagram, sizes = random_diagram(3)
    assert place(diagram, sizes) == place(diagram, sizes)


def test_single_box():
    placement = place(Diagram((Box(("a",), "", "", L.ReLU()),), ()), [(90.0, 19.0)])
    assert (placement.width, placement.height) == (90.0, 19.0)
    assert placement.centers == ((45.0, 9.5),)
    assert placement.routes == ()
