"""Passes of networks in Keras and LiteRT."""

import pickle

import pytest

from lemonade_tf.latency import DEFAULT, INT8, KERAS, LITE, RUNTIMES
from lemonade_tf.latency.features import FEATURES, features
from lemonade_tf.search_spaces import NETWORKS


def test_runtimes_are_named_like_their_objectives():
    assert dict(RUNTIMES) == {"latency": KERAS, "lite_latency": LITE, "int8_latency": INT8}


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_a_runtime_can_be_sent_to_a_worker(runtime):
    assert pickle.loads(pickle.dumps(runtime)) == runtime


def test_keras_takes_a_batch_and_the_threads_of_the_search():
    assert (KERAS.batch_size(DEFAULT), KERAS.num_threads(4)) == (100, 4)


def test_lite_takes_one_image_and_one_thread():
    for runtime in (LITE, INT8):
        assert (runtime.batch_size(DEFAULT), runtime.num_threads(4)) == (1, 1)


def test_int8_converts_the_input_and_the_output():
    assert [runtime.converts_ends for runtime in RUNTIMES.values()] == [False, False, True]
    graph = NETWORKS.initial_graphs((8, 8, 1), 10)[0]
    both = {each: features(graph, folded=True, converted=each) for each in (True, False)}
    more = dict(zip(FEATURES, both[True] - both[False], strict=True))
    assert {name: value for name, value in more.items() if value} == {
        "normalizations": 2,
        "normalization_values": 2 * 64 + 2 * 10,
    }
