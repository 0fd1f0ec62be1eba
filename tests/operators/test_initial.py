"""Initial weights, and estimates of statistics compared with drawn values."""

import numpy as np
import pytest
from graphs import convolutions, every_layer, finished, small, stack

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as L
from lemonade_tf.operators.initial import glorot_uniform, initial_weights, output_statistics


@pytest.mark.parametrize(
    ("shape", "limit"),
    [((4, 8), 0.5**0.5), ((3, 3, 4, 8), (6 / 108) ** 0.5), ((3, 3, 4, 1), (6 / 45) ** 0.5)],
)
def test_glorot_uniform(shape, limit):
    values = np.concatenate(
        [glorot_uniform(shape, np.random.default_rng(seed)).ravel() for seed in range(200)]
    )
    assert values.dtype == np.float32
    assert np.abs(values).max() <= limit
    assert np.abs(values).max() > 0.98 * limit
    assert abs(values.mean()) < 0.05 * limit


def test_initial_weights_are_those_of_keras():
    graph = every_layer().copy(weights=False)
    weighted = initial_weights(graph, rng=np.random.default_rng(0))
    check(weighted)
    assert not graph.has_weights
    constants = {"bias": 0, "gamma": 1, "beta": 0, "moving_mean": 0, "moving_variance": 1}
    constants |= {"mean": 0, "variance": 1, "count": 0}
    for _, node in weighted.items():
        for key, value in node.weights.items():
            assert value.dtype == np.float32
            if "kernel" in key:
                assert len(np.unique(value)) == value.size
            else:
                assert (value == {**constants, "lambda": 0}[key]).all()


def test_initial_weights_follow_from_the_generator():
    graphs = [
        initial_weights(small(), rng=np.random.default_rng(seed))["conv_1"].weights["kernel"]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(graphs[0], graphs[1])
    assert (graphs[0] != graphs[2]).all()


def _with_statistics(*layers):
    """Return a graph that ends in a batch norm and these layers, with its gamma and beta."""
    graph = convolutions(4)
    at = graph.add("bn", L.BatchNormalization(), ["a"])
    at = stack(graph, at, *layers, stem="then")
    finished(graph, at)
    graph = initial_weights(graph, rng=np.random.default_rng(0))
    gamma = np.array([0.5, -2.0, 1.0, 1e-2], np.float32)
    beta = np.array([0.3, -1.0, 4.0, 0.5], np.float32)
    graph.set_weights("bn", {**graph["bn"].weights, "gamma": gamma, "beta": beta})
    return graph, at, gamma, beta


@pytest.mark.parametrize("layer", [L.ReLU(), L.Activation("relu")], ids=str)
def test_statistics_after_a_relu(layer):
    graph, at, gamma, beta = _with_statistics(layer)
    drawn = beta + np.abs(gamma) * np.random.default_rng(0).normal(size=(200_000, 4))
    values = np.maximum(drawn, 0)
    mean, variance = output_statistics(graph, at)
    assert mean.dtype == variance.dtype == np.float32
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-2)
    np.testing.assert_allclose(variance, values.var(axis=0), rtol=1e-2, atol=1e-6)


def test_statistics_of_a_batch_norm_are_beta_and_gamma():
    graph, at, gamma, beta = _with_statistics()
    mean, variance = output_statistics(graph, at)
    np.testing.assert_array_equal(mean, beta)
    np.testing.assert_array_equal(variance, gamma**2)


@pytest.mark.parametrize("layer", [L.MaxPooling2D(), L.AveragePooling2D(3)], ids=str)
def test_pooling_keeps_the_statistics(layer):
    graph, at, *_ = _with_statistics(L.ReLU(), layer)
    (before,) = graph[at].inputs
    for one, other in zip(
        output_statistics(graph, at), output_statistics(graph, before), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_statistics_of_a_concatenation_are_concatenated():
    graph, at, *_ = _with_statistics(L.ReLU())
    graph.add("both", L.Concatenate(), [at, "a", "bn"])
    finished_at = graph.add("pool", L.GlobalAveragePooling2D(), ["both"])
    mean, variance = output_statistics(graph, finished_at)
    parts = [output_statistics(graph, name) for name in (at, "a", "bn")]
    np.testing.assert_array_equal(mean, np.concatenate([part[0] for part in parts]))
    np.testing.assert_array_equal(variance, np.concatenate([part[1] for part in parts]))


def test_the_default_estimate_is_0_and_1():
    mean, variance = output_statistics(small(), "conv_2")
    np.testing.assert_array_equal(mean, np.zeros(8, np.float32))
    np.testing.assert_array_equal(variance, np.ones(8, np.float32))
