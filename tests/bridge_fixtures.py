"""Graphs for the tests of the bridge."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from graphs import decoder

from lemonade_tf.architecture import LAYERS, Graph, check
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.operators.initial import initial_weights


def _blocks() -> Graph:
    """Return a network with every kind of layer, on images of 8x8x3."""
    graph = Graph()
    graph.add("images", kinds.Input((8, 8, 3)))
    graph.add("rescaling", kinds.Rescaling((0.5, 0.25, 1 / 3), (-1.0, 0.0, 0.1)), ["images"])
    graph.add("normal", kinds.Normalization(), ["rescaling"])
    graph.add("given", kinds.Normalization(0.5, 0.04), ["normal"])
    graph.add("conv", kinds.Conv2D(4, (3, 1), padding="valid", use_bias=True), ["given"])
    graph.add("norm", kinds.BatchNormalization(0.9, 1e-2), ["conv"])
    graph.add("relu", kinds.ReLU(6.0), ["norm"])
    graph.add("pool", kinds.MaxPooling2D(2, padding="same"), ["relu"])
    graph.add("depthwise", kinds.DepthwiseConv2D(5, depth_multiplier=2, use_bias=True), ["pool"])
    graph.add("bare_norm", kinds.BatchNormalization(center=False, scale=False), ["depthwise"])
    graph.add("grouped", kinds.Conv2D(8, 3, groups=4), ["bare_norm"])
    graph.add("squeezed", kinds.GlobalAveragePooling2D(keepdims=True), ["grouped"])
    graph.add("gated", kinds.Multiply(), ["grouped", "squeezed"])
    graph.add("padded", kinds.ZeroPadding2D(((0, 1), (2, 0))), ["gated"])
    graph.add("cropped", kinds.Cropping2D(((1, 0), (0, 2))), ["padded"])
    graph.add("dropped", kinds.Dropout(0.1, (None, 1, 1, 1)), ["cropped"])
    graph.add("silu", kinds.Activation("silu"), ["dropped"])
    graph.add("separable", kinds.SeparableConv2D(8, 3, strides=1, use_bias=True), ["silu"])
    graph.add("skip_sum", kinds.ConvexSum(), ["separable", "silu"])
    graph.add("sum", kinds.Add(), ["skip_sum", "separable", "skip_sum"])
    graph.add("merge", kinds.Concatenate(), ["sum", "pool"])
    graph.add("narrow", kinds.AveragePooling2D((3, 2), strides=(1, 2)), ["merge"])
    graph.add("drop", kinds.Dropout(0.25), ["narrow"])
    graph.add("flat", kinds.Flatten(), ["drop"])
    graph.add("means", kinds.GlobalAveragePooling2D(keepdims=True), ["narrow"])
    graph.add("mean", kinds.Reshape((-1,)), ["means"])
    decoded = decoder(graph, "sum", 8)
    graph.add("both", kinds.Concatenate(), ["flat", "mean", decoded])
    graph.add("logits", kinds.Dense(5), ["both"])
    graph.output = graph.add("softmax", kinds.Activation("softmax"), ["logits"])
    return graph


@pytest.fixture(scope="session")
def shapes() -> Graph:
    """A network with every kind of layer, without weights."""
    graph = _blocks()
    found = {type(node.layer) for _, node in graph.items()}
    assert {*found, kinds.ChannelSlice, kinds.Resizing} == set(LAYERS)
    return graph


@pytest.fixture(scope="session")
def graph(shapes: Graph) -> Graph:
    """The same network with weights as after training: none of them trivial."""
    rng = np.random.default_rng(0)
    weighted = initial_weights(shapes, rng=rng)
    for name in weighted:
        weighted.set_weights(
            name,
            {key: _moved(key, value, rng) for key, value in weighted[name].weights.items()},
        )
    check(weighted)
    return weighted


def _moved(key: str, value: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if key == "count":
        return np.float32(7)
    return (value + rng.uniform(0, 0.5, value.shape)).astype(np.float32)


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Seven images of raw pixels."""
    return np.random.default_rng(1).integers(0, 256, (7, 8, 8, 3)).astype(np.uint8)


@pytest.fixture
def assert_same():
    """Return a function that asserts that two graphs are the same in everything but order."""

    def compare(first: Graph, second: Graph) -> None:
        assert set(first) == set(second)
        assert first.output == second.output
        for name, node in first.items():
            assert second[name].layer == node.layer
            assert second[name].inputs == node.inputs
            assert set(second[name].weights) == set(node.weights)
            for key, value in second[name].weights.items():
                np.testing.assert_array_equal(value, node.weights[key], strict=True)
                assert not value.flags.writeable

    return compare
