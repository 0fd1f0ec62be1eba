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


def test_a_pointwise_convolution_has_no_window():
    done = named(chain(kinds.Conv2D(5, 1)))
    assert {k: v for k, v in done.items() if v} == {
        "passes": 1,
        "convolutions": 1,
        "pointwise_multiply_adds": 16 * 3 * 5,
        "convolution_values": 16 * 3 + 16 * 5,
        "kernel_values": 3 * 5,
    }


@pytest.mark.parametrize("kernel_size", [(1, 3), (3, 1)])
def test_a_convolution_of_one_row_or_column_has_a_window(kernel_size):
    done = named(chain(kinds.Conv2D(5, kernel_size)))
    assert done["pointwise_multiply_adds"] == 0
    assert done["window_multiply_adds"] == 16 * 3 * 3 * 5
    assert done["patch_values"] == 16 * 3 * 3


def test_a_depthwise_convolution_has_no_pointwise_multiply_adds():
    done = named(chain(kinds.DepthwiseConv2D(3, depth_multiplier=2)))
    assert {k: v for k, v in done.items() if v} == {
        "passes": 1,
        "separable_convolutions": 1,
        "depthwise_multiply_adds": 16 * 9 * 3 * 2,
        "separable_values": 16 * 3 + 16 * 6,
        "kernel_values": 9 * 3 * 2,
    }


def test_a_dense_layer():
    done = named(chain(kinds.Flatten(), kinds.Dense(7)))
    assert {k: v for k, v in done.items() if v} == {
        "passes": 1,
        "other_layers": 1,
        "pointwise_multiply_adds": 48 * 7,
        "kernel_values": 48 * 7,
    }


def test_a_pooling_counts_the_values_of_its_windows():
    done = named(chain(kinds.MaxPooling2D(2)))
    assert {k: v for k, v in done.items() if v} == {
        "passes": 1,
        "other_layers": 1,
        "pooling_values": 2 * 2 * 3 * 4,
    }


def test_layers_that_cost_nothing():
    graph = chain(kinds.Activation("linear"), kinds.Dropout(0.5), kinds.Flatten())
    assert {k for k, v in named(graph).items() if v} == {"passes"}


def test_lite_folds_a_relu_into_an_addition():
    graph = chain(kinds.Conv2D(5, 3), kinds.Conv2D(5, 3))
    graph.add("sum", kinds.Add(), ["layer_0", "layer_1"])
    without = graph.copy()
    without.output = "sum"
    graph.output = graph.add("relu", kinds.ReLU(), ["sum"])
    np.testing.assert_array_equal(features(graph, folded=True), features(without, folded=True))
    assert named(graph)["other_layers"] == named(without)["other_layers"] + 1


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
def test_lite_folds_nothing_into_other_layers(layers):
    graph = chain(*layers)
    np.testing.assert_array_equal(features(graph, folded=True), features(graph, folded=False))


def test_lite_does_not_fold_into_a_layer_with_several_consumers():
    graph = chain(kinds.Conv2D(5, 3), kinds.ReLU())
    graph.output = graph.add("sum", kinds.Add(), ["layer_0", "layer_1"])
    assert named(graph, folded=True)["other_layers"] == 2


def test_features_do_not_depend_on_weights():
    graph = small()
    np.testing.assert_array_equal(
        features(graph, folded=True), features(graph.copy(weights=False), folded=True)
    )
