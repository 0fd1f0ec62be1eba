"""The peak of live activations against counts by hand. All images have 4x4 pixels."""

from math import prod

import pytest
from graphs import every_layer, finished, small

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.memory import BYTES, peak_memory

PIXELS = 16


def image(channels=2):
    graph = Graph()
    graph.add("image", L.Input((4, 4, channels)))
    return graph


def chain(graph, at, *layers):
    """Add layers one after the other, and return the name of the last."""
    for layer in layers:
        at = graph.add(f"{at}_", layer, [at])
    return at


def test_layer_in_a_chain_needs_its_input_and_its_output():
    graph = image()
    at = chain(graph, "image", L.Conv2D(8, 3), L.ReLU(), L.Conv2D(6, 3))
    finished(graph, at)
    # 2 + 8, 8 + 8, 8 + 6 channels, ...
    assert peak_memory(graph) == BYTES * PIXELS * (8 + 8)


def test_resolution_counts():
    graph = image(3)
    at = chain(graph, "image", L.Conv2D(4, 3), L.MaxPooling2D(2), L.Conv2D(9, 3))
    finished(graph, at)
    # 16 * (3 + 4), 16 * 4 + 4 * 4, 4 * (4 + 9)
    assert peak_memory(graph) == BYTES * PIXELS * 7


def test_skip_keeps_its_tensor_until_it_is_consumed():
    graph = image()
    start = graph.add("start", L.Conv2D(5, 3), ["image"])
    end = chain(graph, start, L.Conv2D(7, 3), L.ReLU(), L.Conv2D(5, 3))
    at = graph.add("sum", L.Add(), [start, end])
    finished(graph, at)
    # At the ReLU: the skip's 5 channels, 7 of its input, 7 of its output. At the sum: 5 + 5 + 5.
    assert peak_memory(graph) == BYTES * PIXELS * (5 + 7 + 7)


def test_tensor_consumed_twice_by_one_layer_counts_once():
    graph = image(4)
    graph.add("sum", L.Add(), ["image", "image"])
    finished(graph, "sum")
    assert peak_memory(graph) == BYTES * PIXELS * (4 + 4)


def test_intermediate_values_of_a_layer_count():
    graph = image(3)
    graph.add("separable", L.SeparableConv2D(5, 3, depth_multiplier=2), ["image"])
    finished(graph, "separable")
    assert peak_memory(graph) == BYTES * PIXELS * (3 + 3 * 2 + 5)
    graph = image(3)
    graph.add("other", L.ReLU(), ["image"])
    graph.add("mix", L.ConvexSum(), ["image", "other"])
    finished(graph, "mix")
    assert peak_memory(graph) == BYTES * PIXELS * (3 + 3 + 2 * 3 + 3)


def test_output_stays_live():
    graph = image(4)
    graph.add("relu", L.ReLU(), ["image"])
    graph.output = "relu"
    assert peak_memory(graph) == BYTES * PIXELS * 8


def test_peak_is_between_the_largest_tensor_and_their_sum():
    for graph in (small(), every_layer()):
        sizes = [BYTES * prod(shape) for shape in graph.shapes().values()]
        assert max(sizes) < peak_memory(graph) < 3 * sum(sizes)


@pytest.mark.parametrize("weights", [True, False])
def test_weights_do_not_count(weights):
    assert peak_memory(small().copy(weights=weights)) == peak_memory(small())
