from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.backends.base import backend
from lemonade_tf.keras_bridge import read_weights, to_keras
from lemonade_tf.training.fit import TrainingDiverged, fit
from lemonade_tf.training.settings import TrainingSettings


def train(network, digits, *, count=320, epochs=2, seed=0, fused=True, **settings):
    model = to_keras(network, learnable=True, fused=fused, logits=True)
    place = backend().place
    result = fit(
        model,
        place(digits.x_train[:count]),
        place(digits.y_train[:count]),
        epochs=epochs,
        settings=TrainingSettings(**settings),
        rng=np.random.default_rng(seed),
    )
    return result, read_weights(model, network)


def test_it_learns(network, digits):
    result, _ = train(network, digits, epochs=5, batch_size=32)
    assert len(result.losses) == 5
    assert result.losses[-1] < 0.6 * result.losses[0]
    assert result.num_traces == 1
    assert result.seconds > 0


def test_same_seed_same_weights_bit_for_bit(network, digits, assert_equal_weights):
    _, first = train(network, digits, seed=3)
    _, second = train(network, digits, seed=3)
    assert_equal_weights(first, second)


def test_another_seed_another_order(network, digits):
    (first, _), (second, _) = (train(network, digits, seed=seed) for seed in (3, 4))
    assert first.losses != second.losses


def test_a_last_batch_that_is_not_full_is_left_out(network, digits):
    result, _ = train(network, digits, count=100, batch_size=32)
    assert result.num_images == 2 * 96


def test_fewer_images_than_a_batch(network, digits):
    result, _ = train(network, digits, count=20, batch_size=64)
    assert result.num_images == 2 * 20


def test_no_epochs(network, digits, assert_equal_weights):
    result, weights = train(network, digits, epochs=0)
    assert (result.losses, result.num_images) == ((), 0)
    assert_equal_weights(network, weights)


def test_divergence_names_the_epoch(network, digits):
    with pytest.raises(TrainingDiverged, match=r"became (nan|inf) in epoch \d+ of 30, at a learn"):
        train(network, digits, epochs=30, learning_rate=1e30)


def test_float_images(network, digits):
    result, _ = train(network, digits)
    floats = replace(digits, x_train=digits.x_train.astype(np.float32))
    assert train(network, floats)[0].losses == result.losses
