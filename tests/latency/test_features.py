import numpy as np
import pytest
from graphs import small

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.latency.features import FEATURES, features
from lemonade_tf.search_spaces import CELLS, NETWORKS


def named(graph, folded=False):
    return dict(zip(FEATURES, features(graph, folded=folded), strict=True))


def chain(*layers):
    graph = Graph()
    at = graph.add("input", kinds.Input((4, 4, 3)))
    for number, layer in enumerate(layers):
        at = graph.add(f"layer_{number}", layer, [at])
    graph.output = at
    return graph


def test_a_convolution_by_hand():
    done = named(chain(kinds.Conv2D(5, 3)))
    assert {k: v for k, v in done.items() if v} == {
        "passes": 1,
        "convolutions": 1,
        "window_multiply_adds": 16 * 9 * 3 * 5,
        "patch_values": 16 * 9 * 3,
        "convolution_values": 16 * 3 + 16 * 5,
        "kernel_values": 9 * 3 * 5,
    }


def test_a_separable_convolution_by_hand():
    done = named(chain(kinds.SeparableConv2D(5, 3)))
    assert {k: v for k, v in done.items() if v} == {
        "passes": 1,
        "separable_convolutions": 1,
        "depthwise_multiply_adds": 16 * 9 * 3,
        "pointwise_multiply_adds": 16 * 3 * 5,
        "separable_values": 16 * 3 + 16 * 5,
        "kernel_values": 9 * 3 + 3 * 5,
    }


@pytest.mark.parametrize("space", [NETWORKS, CELLS], ids=["networks", "cells"])
def test_all_multiply_adds_are_counted_once(space):
    for graph in space.initial_graphs((8, 8, 1), 10):
        done = named(graph)
        total = sum(v for k, v in done.items() if k.endswith("multiply_adds"))
        assert total == count_multiply_adds(graph)


def test_lite_folds_a_batch_norm_and_a_relu_into_the_convolution():
    block = (kinds.Conv2D(5, 3), kinds.BatchNormalization(), kinds.ReLU())
    whole = chain(*block)
    np.testing.assert_array_equal(
        features(whole, folded=True), features(chain(block[0]), folded=False)
    )
    assert named(whole)["normalizations"] == named(whole)["other_layers"] == 1


@pytest.mark.parametrize(
    "layers",
    [
        (kinds.MaxPooling2D(2), kinds.BatchNormalization()),
        (kinds.MaxPooling2D(2), kinds.ReLU()),
        (kinds.BatchNormalization(), kinds.ReLU()),
    ],
)
def test_what_follows_no_convolution_stays(layers):
    graph = chain(*layers)
    np.testing.assert_array_equal(features(graph, folded=True), features(graph, folded=False))


def test_what_others_read_stays():
    graph = chain(kinds.Conv2D(5, 3), kinds.ReLU())
    graph.output = graph.add("sum", kinds.Add(), ["layer_0", "layer_1"])
    assert named(graph, folded=True)["other_layers"] == 2


def test_weights_do_not_count():
    graph = small()
    np.testing.assert_array_equal(
        features(graph, folded=True), features(graph.copy(weights=False), folded=True)
    )
