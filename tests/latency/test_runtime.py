"""Passes of networks in Keras and LiteRT."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.latency import DEFAULT, KERAS, LITE, RUNTIMES, Protocol
from lemonade_tf.search_spaces import NETWORKS


def test_runtimes_are_named_like_their_objectives():
    assert dict(RUNTIMES) == {"latency": KERAS, "lite_latency": LITE}


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_a_runtime_can_be_sent_to_a_worker(runtime):
    assert pickle.loads(pickle.dumps(runtime)) == runtime


def test_keras_takes_a_batch_and_the_threads_of_the_search():
    assert (KERAS.batch_size(DEFAULT), KERAS.num_threads(4)) == (100, 4)


def test_lite_takes_one_image_and_one_thread():
    assert (LITE.batch_size(DEFAULT), LITE.num_threads(4)) == (1, 1)


def test_a_pass_in_keras_maps_raw_pixels_to_probabilities():
    [graph, *_] = NETWORKS.initial_graphs((8, 8, 1), 10)
    probabilities = KERAS.build_pass(graph.copy(weights=False), Protocol(batch_size=3))()
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_a_pass_receives_a_batch_and_a_convex_sum_of_both_terms():
    graph = Graph()
    x = graph.add("input", kinds.Input((4, 4, 3)))
    graph.output = graph.add("sum", kinds.ConvexSum(), [x, x])
    received = []

    def compile_nothing(graph, images):
        received.append((float(graph["sum"].weights["lambda"]), images.shape, images.dtype))
        return lambda: None

    for runtime in RUNTIMES.values():
        replace(runtime, compile=compile_nothing).build_pass(graph, Protocol(batch_size=5))
    assert received == [
        (pytest.approx(0.3), (5, 4, 4, 3), np.uint8),
        (pytest.approx(0.3), (1, 4, 4, 3), np.uint8),
    ]
