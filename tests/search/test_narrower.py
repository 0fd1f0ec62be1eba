"""Narrower initial networks, for limits that exclude all others."""

import numpy as np
import pytest

from lemonade_tf.architecture.text import same_architecture
from lemonade_tf.objectives.builtin import MULTIPLY_ADDS, PARAMETERS
from lemonade_tf.objectives.limits import Limit, exceeded
from lemonade_tf.operators import replay
from lemonade_tf.search.initial_networks import within_limits
from lemonade_tf.search.narrower import narrower, shares
from lemonade_tf.search_spaces import CELLS, NETWORKS

SPACES = [(NETWORKS, (32, 32, 3)), (NETWORKS, (8, 8, 1)), (CELLS, (32, 32, 3))]


def graphs(space, shape):
    return [graph.copy(weights=False) for graph in space.initial_graphs(shape, 10)]


def test_the_largest_network_gets_the_whole_limit_and_the_others_less():
    assert shares(1) == [1]
    assert shares(4) == [1 / 8, 1 / 4, 1 / 2, 1]
    assert shares(6) == [1 / 8, 1 / 8, 1 / 8, 1 / 4, 1 / 2, 1]


@pytest.mark.parametrize(("space", "shape"), SPACES)
def test_narrower_networks_use_most_of_their_share(space, shape):
    initial, limits = graphs(space, shape), [Limit(PARAMETERS, 10_000)]
    found = within_limits(space, limits, initial, ())
    sizes = [PARAMETERS.value(graph) for graph in found.graphs]
    assert 5_000 < max(sizes) <= 10_000
    assert len(sizes) == 4
    assert not any(space.allows(graph) for graph in found.graphs) or shape == (8, 8, 1)
    assert all(found.space.allows(graph) for graph in found.graphs)
    assert [graph.topological_order() for graph in found.graphs] == [
        graph.topological_order() for graph in initial
    ]
    again = within_limits(space, limits, initial, ())
    assert all(map(same_architecture, found.graphs, again.graphs))


def test_all_limits_hold_and_the_operators_are_recorded():
    [*_, graph] = graphs(NETWORKS, (8, 8, 1))
    limits = [Limit(each, each.value(graph) / 9) for each in (PARAMETERS, MULTIPLY_ADDS)]
    found, operators, is_within = narrower(NETWORKS, graph, limits, 0.5)
    assert is_within
    assert not exceeded(limits, found)
    assert same_architecture(replay(graph, operators, rng=np.random.default_rng(0)).graph, found)


def test_a_share_that_cannot_be_reached_is_raised():
    [graph, *_] = graphs(NETWORKS, (8, 8, 1))
    found, _, is_within = narrower(NETWORKS, graph, [Limit(PARAMETERS, 100)], 1 / 8)
    assert is_within
    assert 50 < PARAMETERS.value(found) <= 100
    rounded = NETWORKS.with_width_multiple(8)
    _, _, is_within = narrower(rounded, graph, [Limit(PARAMETERS, 1_000)])
    assert not is_within  # 3 x 8 filters are the fewest
