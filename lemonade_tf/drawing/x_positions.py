"""Horizontal positions of the boxes and lanes of a layered picture, by linear programming.

Connected vertices should be below each other (Gansner, Koutsofios, North & Vo, 1993, section 4).
With the order in each layer given, the positions x minimize

    sum over steps (a, b) of weight * |x_a - x_b|    where x_b - x_a >= their distance

for neighbors a, b of a layer. A slack variable per step, which is at least x_a - x_b and at least
x_b - x_a, makes this a linear program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from operator import itemgetter

from lemonade_tf.drawing.layering import Edge, Layers

# The weight of a step by how many of its two ends are dummies: a long line should run straight,
# and bend where it meets a box rather than on its way. So should the boxes of a longest path, the
# trunk of the network.
WEIGHTS = (4.0, 8.0, 64.0)
TRUNK_WEIGHT = 64.0


def x_positions(
    layers: Layers, widths: Sequence[float], gaps: tuple[float, float]
) -> tuple[list[float], float]:
    """Return the middle of each vertex, and the weighted sum of all horizontal distances.

    Args:
        layers: The vertices in their order.
        widths: The width of each vertex, in points.
        gaps: The gap between a box and its neighbors, and between two dummies.
    """
    import numpy as np
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    steps = layers.steps()
    total = len(widths)
    # Each constraint reads x_a - x_b - slack <= limit; the slack is that of a step, or none.
    constraints: list[tuple[int, int, int | None, float]] = []
    for slack, (a, b) in enumerate(steps, total):
        constraints += [(a, b, slack, 0.0), (b, a, slack, 0.0)]
    for a, b in chain.from_iterable(map(pairwise, layers.rows)):
        distance = (widths[a] + widths[b]) / 2 + gaps[min(a, b) >= layers.num_boxes]
        constraints.append((a, b, None, -distance))
    entries = [
        (row, column, value)
        for row, (a, b, slack, _) in enumerate(constraints)
        for column, value in ((a, 1.0), (b, -1.0), (slack, -1.0))
        if column is not None
    ]
    rows, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
    trunk = _trunk(layers.paths)
    weights = [
        TRUNK_WEIGHT if step in trunk else WEIGHTS[sum(end >= layers.num_boxes for end in step)]
        for step in steps
    ]
    solution = linprog(
        [0.0] * total + weights,
        A_ub=csr_array((values, (rows, columns)), shape=(len(constraints), total + len(steps))),
        b_ub=[limit for *_, limit in constraints],
    )
    x = solution.x[:total]
    left = (x - np.array(widths) / 2).min()
    return [float(middle) for middle in np.round(x - left, 2)], float(solution.fun)


def _trunk(edges: Iterable[Edge]) -> set[Edge]:
    """Return the edges of a longest path."""
    depth, before = Counter[int](), {}
    for source, target in sorted(edges, key=itemgetter(1)):
        if depth[source] >= depth[target]:
            depth[target], before[target] = depth[source] + 1, source
    trunk, at = set(), max(depth, key=depth.__getitem__, default=0)
    while at in before:
        trunk.add((before[at], at))
        at = before[at]
    return trunk
