"""The peak of live activations, against counts by hand. All images have 4x4 pixels."""

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
    """Add layers one behind the other, and return the name of the last."""
    for layer in layers:
        at = graph.add(f"{at}_", layer, [at])
    return at


def test_a_chain_holds_what_a_layer_reads_and_what_it_puts_out():
    graph = image()
    at = chain(graph, "image", L.Conv2D(8, 3), L.ReLU(), L.Conv2D(6, 3))
    finished(graph, at)
    # 2 + 8, 8 + 8, 8 + 6 channels, ...
    assert peak_memory(graph) == BYTES * PIXELS * (8 + 8)


def test_a_layer_of_another_resolution():
    graph = image(3)
    at = chain(graph, "image", L.Conv2D(4, 3), L.MaxPooling2D(2), L.Conv2D(9, 3))
    finished(graph, at)
    # 16 * (3 + 4), 16 * 4 + 4 * 4, 4 * (4 + 9)
    assert peak_memory(graph) == BYTES * PIXELS * 7


def test_a_skip_holds_its_tensor_until_it_is_read():
    graph = image()
    start = graph.add("start", L.Conv2D(5, 3), ["image"])
    end = chain(graph, start, L.Conv2D(7, 3), L.ReLU(), L.Conv2D(5, 3))
    at = graph.add("sum", L.Add(), [start, end])
    finished(graph, at)
    # At the ReLU: the skip's 5 channels, 7 read, 7 put out. At the sum: 5 + 5 + 5.
    assert peak_memory(graph) == BYTES * PIXELS * (5 + 7 + 7)


def test_a_tensor_that_is_read_twice_by_one_layer_is_there_once():
    graph = image(4)
    graph.add("sum", L.Add(), ["image", "image"])
    finished(graph, "sum")
    assert peak_memory(graph) == BYTES * PIXELS * (4 + 4)


def test_what_comes_to_be_inside_of_a_layer_counts_while_it_runs():
    graph = image(3)
    graph.add("separable", L.SeparableConv2D(5, 3, depth_multiplier=2), ["image"])
    finished(graph, "separable")
    assert peak_memory(graph) == BYTES * PIXELS * (3 + 3 * 2 + 5)
    graph = image(3)
    graph.add("other", L.ReLU(), ["image"])
    graph.add("mix", L.ConvexSum(), ["image", "other"])
    finished(graph, "mix")
    assert peak_memory(graph) == BYTES * PIXELS * (3 + 3 + 2 * 3 + 3)


def test_the_output_stays():
    graph = image(4)
    graph.add("relu", L.ReLU(), ["image"])
    graph.output = "relu"
    assert peak_memory(graph) == BYTES * PIXELS * 8


def test_it_is_at_least_the_largest_layer_and_at_most_all_of_them():
    for graph in (small(), every_layer()):
        sizes = [BYTES * prod(shape) for shape in graph.shapes().values()]
        assert max(sizes) < peak_memory(graph) < 3 * sum(sizes)


@pytest.mark.parametrize("weights", [True, False])
def test_weights_make_no_difference(weights):
    assert peak_memory(small().copy(weights=weights)) == peak_memory(small())
