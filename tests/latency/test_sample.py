import numpy as np
import pytest

from lemonade_tf.architecture import check
from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.latency.sample import GROWTH, sample_layers, sample_networks
from lemonade_tf.search_spaces import CELLS, NETWORKS


@pytest.mark.parametrize("space", [NETWORKS, CELLS], ids=["networks", "cells"])
def test_networks_are_in_the_space_and_not_too_large(space):
    initial = space.initial_graphs((8, 8, 1), 10)
    found = sample_networks(initial, space.propose, rng=np.random.default_rng(0), number=10)
    assert len(found) == 10
    largest = max(map(count_multiply_adds, initial))
    for graph in found:
        check(graph)
        assert not graph.has_weights
        assert space.allows(graph)
        assert count_multiply_adds(graph) <= GROWTH * largest
    assert len({canonical_hash(graph) for graph in found}) >= 8


def test_the_seed_determines_the_networks():
    initial = NETWORKS.initial_graphs((8, 8, 1), 10)
    hashes = [
        [
            canonical_hash(g)
            for g in sample_networks(initial, NETWORKS.propose, rng=np.random.default_rng(seed))
        ]
        for seed in (0, 0, 1)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_small_number_truncates_the_initial_networks():
    initial = NETWORKS.initial_graphs((8, 8, 1), 10)
    assert len(sample_networks(initial, NETWORKS.propose, rng=None, number=2)) == 2


def test_layers_have_three_resolutions_and_many_kinds():
    found = sample_layers((32, 32, 3), 10, max_multiply_adds=1e8)
    for graph in found:
        check(graph)
        assert count_multiply_adds(graph) <= 1e8
    kinds = {type(graph[graph.output].layer).__name__ for graph in found}
    assert {"Conv2D", "SeparableConv2D", "BatchNormalization", "ConvexSum", "Dense"} <= kinds
    sides = {graph.shapes()["input"][0] for graph in found if len(graph.shapes()["input"]) == 3}
    assert sides == {32, 16, 8}


@pytest.mark.parametrize("shape", [(2, 2, 1), (3, 5, 3), (64, 64, 3)])
def test_layers_of_images_of_any_size_are_valid(shape):
    for graph in sample_layers(shape, 2, max_multiply_adds=1e12):
        check(graph)
