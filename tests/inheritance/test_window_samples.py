"""Windows and their positions, against the outputs of the layers."""

import keras
import numpy as np
import pytest
from graphs import small
from reference import forward

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as L
from lemonade_tf.inheritance.window_samples import extract_windows, sample_positions
from lemonade_tf.keras_bridge import to_keras
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.operators.kernels import full_kernel

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    "layer",
    [
        L.Conv2D(4, 3),
        L.Conv2D(4, (1, 5)),
        L.Conv2D(4, 3, strides=2),
        L.Conv2D(4, 2, strides=(2, 1)),
        L.Conv2D(4, 3, padding="valid"),
        L.Conv2D(4, 3, strides=2, padding="valid"),
        L.Conv2D(4, 1, strides=2),
        L.SeparableConv2D(4, (5, 3), strides=2),
        L.SeparableConv2D(4, 3, depth_multiplier=2),
    ],
    ids=str,
)
def test_windows_times_the_kernel_are_the_output(layer):
    graph = Graph()
    graph.add("input", L.Input((8, 8, 3)))
    graph.output = graph.add("it", layer, ["input"])
    graph = initial_weights(graph, rng=rng())
    positions = sample_positions(graph, "it", len(IMAGES), rng())
    windows = extract_windows(layer, IMAGES.astype(np.float32), positions)
    kernel = full_kernel(layer, graph["it"].weights)
    model = to_keras(graph, learnable=True)
    part = keras.Model(model.input, model.get_layer("it").output)
    outputs = np.asarray(part(IMAGES.astype(np.float32)))
    found = windows.reshape(len(windows), -1) @ kernel.reshape(-1, 4)
    np.testing.assert_allclose(found, outputs[positions], atol=1e-2)


def test_the_number_of_positions_is_limited():
    graph = small()
    positions = sample_positions(graph, "conv_1", 1000, rng())
    assert len(positions[0]) == 4096  # of 64,000
    assert len(set(zip(*map(list, positions), strict=True))) == 4096
    assert len(sample_positions(graph, "logits", 100, rng())[0]) == 100


def test_larger_windows_get_more_positions():
    graph = Graph()
    graph.add("input", L.Input((8, 8, 64)))
    graph.output = graph.add("conv", L.Conv2D(4, 3), ["input"])
    assert len(sample_positions(graph, "conv", 1000, rng())[0]) == 10 * 9 * 64


@pytest.mark.parametrize(
    "layer",
    [
        L.Conv2DTranspose(6, 3, strides=2),
        L.Conv2DTranspose(6, (2, 3), strides=(3, 2), padding="valid"),
        L.Conv2DTranspose(6, 3, strides=2, output_padding=1),
        L.Conv2DTranspose(6, 2, strides=3),
        L.Conv2DTranspose(6, 3, padding="valid", dilation_rate=2),
        L.Conv2D(6, 3, dilation_rate=2),
        L.Conv2D(6, (3, 2), padding="valid", dilation_rate=(1, 2)),
    ],
    ids=str,
)
def test_windows_times_the_full_kernel_are_the_output(layer):
    rng = np.random.default_rng(0)
    graph = Graph()
    graph.add("image", L.Input((5, 4, 3)))
    kernel = rng.normal(size=layer.weight_shapes((5, 4, 3))["kernel"])
    graph.output = graph.add("layer", layer, ["image"], {"kernel": kernel})
    images = rng.normal(size=(2, 5, 4, 3))
    expected = forward(graph, images)["layer"]
    positions = np.unravel_index(np.arange(expected[..., 0].size), expected.shape[:3])
    windows = extract_windows(layer, images, positions)
    found = np.tensordot(windows, full_kernel(layer, {"kernel": kernel}), 3)
    np.testing.assert_allclose(found, expected.reshape(found.shape), atol=1e-12)
