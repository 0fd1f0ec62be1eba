"""Passes of networks in Keras and LiteRT."""

import pickle

import pytest

from lemonade_tf.latency import DEFAULT, KERAS, LITE, RUNTIMES


def test_runtimes_are_named_like_their_objectives():
    assert dict(RUNTIMES) == {"latency": KERAS, "lite_latency": LITE}


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_a_runtime_can_be_sent_to_a_worker(runtime):
    assert pickle.loads(pickle.dumps(runtime)) == runtime


def test_keras_takes_a_batch_and_the_threads_of_the_search():
    assert (KERAS.batch_size(DEFAULT), KERAS.num_threads(4)) == (100, 4)


def test_lite_takes_one_image_and_one_thread():
    assert (LITE.batch_size(DEFAULT), LITE.num_threads(4)) == (1, 1)
