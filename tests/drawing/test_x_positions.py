"""Horizontal positions: order and gaps are kept, and a longest path is straight."""

from itertools import pairwise

import numpy as np
import pytest
from layered import arrangement, random_edges

from lemonade_tf.drawing.x_positions import x_positions


@pytest.mark.parametrize("seed", range(8))
def test_vertices_keep_their_order_and_their_gaps(seed):
    layers = arrangement(30, random_edges(seed))
    widths = [*np.random.default_rng(seed).uniform(84, 170, size=30)]
    widths += [0.0] * (sum(map(len, layers.rows)) - 30)
    x, _ = x_positions(layers, widths, (18.0, 14.0))
    left = min(at - width / 2 for at, width in zip(x, widths, strict=True))
    assert left == pytest.approx(0, abs=0.01)
    for a, b in (pair for row in layers.rows for pair in pairwise(row)):
        gap = 14.0 if min(a, b) >= 30 else 18.0
        assert x[b] - x[a] >= (widths[a] + widths[b]) / 2 + gap - 0.02


def test_longest_path_is_straight():
    layers = arrangement(5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (1, 4)])
    x, _ = x_positions(layers, [90.0] * 5 + [0.0] * 5, (18.0, 14.0))
    assert len(set(x[:5])) == 1


def test_cost_is_the_weighted_sum_of_horizontal_distances():
    straight, cost = x_positions(arrangement(3, [(0, 1), (1, 2)]), [90.0] * 3, (18.0, 14.0))
    assert (straight, cost) == ([45.0] * 3, 0.0)
    # Two boxes side by side between two others: one is on the trunk (weight 64), one beside it.
    layers = arrangement(4, [(0, 1), (0, 2), (1, 3), (2, 3)])
    x, cost = x_positions(layers, [90.0] * 4, (18.0, 14.0))
    assert abs(x[2] - x[1]) == pytest.approx(108)
    assert cost == pytest.approx(2 * 4 * 108)
