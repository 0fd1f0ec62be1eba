"""Layers of boxes and dummies: each vertex once, each edge a chain, few crossings."""

import numpy as np
import pytest
from layered import arrangement, random_edges

from lemonade_tf.drawing.layering import MAX_ARRANGEMENTS, arrange_layers


def ranks(layers):
    return {vertex: at for at, row in enumerate(layers.rows) for vertex in row}


def crossings(layers):
    """Count crossing pairs of steps one by one."""
    position = {vertex: at for row in layers.rows for at, vertex in enumerate(row)}
    rank, steps = ranks(layers), layers.steps()
    return sum(
        rank[a] == rank[c] and position[a] < position[c] and position[b] > position[d]
        for a, b in steps
        for c, d in steps
    )


@pytest.mark.parametrize("seed", range(8))
def test_every_edge_passes_one_vertex_per_layer(seed):
    edges = random_edges(seed)
    for layers in arrange_layers(30, edges):
        rank = ranks(layers)
        assert sorted(rank) == list(range(sum(map(len, layers.rows))))
        assert list(layers.paths) == edges
        dummies = []
        for (source, target), path in layers.paths.items():
            assert (path[0], path[-1]) == (source, target)
            assert [rank[vertex] for vertex in path] == list(range(rank[source], rank[target] + 1))
            dummies += path[1:-1]
        assert dummies == list(range(30, len(rank)))
        assert all(min(row) < 30 for row in layers.rows), "no layer consists of dummies only"


@pytest.mark.parametrize("seed", range(8))
def test_arrangements_differ_and_have_equally_many_crossings(seed):
    found = arrange_layers(30, random_edges(seed))
    assert 1 <= len(found) <= MAX_ARRANGEMENTS
    assert len({crossings(layers) for layers in found}) == 1
    assert all(first != second for i, first in enumerate(found) for second in found[:i])


def test_random_graphs_have_few_crossings():
    """Without the exchanges of adjacent vertices the sweeps reach 24, 22, 19, 16, ..."""
    reached = [crossings(arrangement(30, random_edges(seed))) for seed in range(8)]
    assert all(np.less_equal(reached, [22, 17, 17, 14, 11, 14, 13, 19]))


def test_planar_graph_has_no_crossings():
    ladder = [(0, 1), (0, 2), (0, 3), (3, 4), (2, 5), (1, 6), (4, 7), (5, 7), (6, 7)]
    layers = arrangement(8, ladder)
    assert crossings(layers) == 0
    mirror = {1: 6, 2: 5, 3: 4}
    assert layers.rows[2] == [mirror[box] for box in layers.rows[1]]


def test_skip_is_short_where_its_box_can_sink():
    """Box 2 could be in layer 1 or 2; as a chain of three boxes its edges need fewer dummies."""
    found = arrange_layers(6, [(0, 1), (1, 3), (3, 4), (0, 2), (2, 4), (4, 5)])
    assert {ranks(layers)[2] for layers in found} == {1, 2}
    assert all(len(ranks(layers)) == 7 for layers in found)


def test_single_box():
    (layers,) = arrange_layers(1, [])
    assert layers.rows == [[0]]
    assert layers.steps() == []
