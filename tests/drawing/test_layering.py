"""Boxes and lanes in layers: each once, in order, with gaps; what is longest is straight."""

from itertools import pairwise

import numpy as np
import pytest

from lemonade_tf.drawing.layering import across, layers_of


def random_edges(seed):
    """Return the edges of a connected graph of 30 boxes, each given once."""
    rng = np.random.default_rng(seed)
    draws = [(int(rng.integers(max(0, at - 9), at)), at) for at in range(1, 30) for _ in range(2)]
    return list(dict.fromkeys(draws))


@pytest.mark.parametrize("seed", range(8))
def test_paths_lead_through_one_place_of_each_layer(seed):
    edges = random_edges(seed)
    layers = layers_of(30, edges)
    rank = {place: at for at, row in enumerate(layers.rows) for place in row}
    assert sorted(rank) == list(range(sum(map(len, layers.rows))))
    assert list(layers.paths) == edges
    lanes = []
    for (source, target), path in layers.paths.items():
        assert (path[0], path[-1]) == (source, target)
        assert [rank[place] for place in path] == list(range(rank[source], rank[target] + 1))
        lanes += path[1:-1]
    assert lanes == list(range(30, len(rank)))


@pytest.mark.parametrize("seed", range(8))
def test_places_keep_their_order_and_their_gaps(seed):
    layers = layers_of(30, random_edges(seed))
    widths = [*np.random.default_rng(seed).uniform(84, 170, size=30)]
    widths += [0.0] * (sum(map(len, layers.rows)) - 30)
    x = across(layers, widths, 30, (18.0, 14.0))
    assert min(at - width / 2 for at, width in zip(x, widths, strict=True)) == pytest.approx(
        0, abs=0.01
    )
    for a, b in (pair for row in layers.rows for pair in pairwise(row)):
        gap = 14.0 if min(a, b) >= 30 else 18.0
        assert x[b] - x[a] >= (widths[a] + widths[b]) / 2 + gap - 0.02


def test_edges_that_need_not_cross_do_not():
    ladder = [(0, 1), (0, 2), (0, 3), (3, 4), (2, 5), (1, 6), (4, 7), (5, 7), (6, 7)]
    rows = layers_of(8, ladder).rows
    mirror = {1: 6, 2: 5, 3: 4}
    assert rows[2] == [mirror[box] for box in rows[1]]


def test_a_longest_path_is_straight():
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (1, 4)]
    x = across(layers_of(5, edges), [90.0] * 5 + [0.0] * 5, 5, (18.0, 14.0))
    assert len(set(x[:5])) == 1
