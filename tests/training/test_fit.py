from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.architecture.layers import BatchNormalization
from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge import read_weights
from lemonade_tf.training.fit import TrainingDiverged, fit
from lemonade_tf.training.schedule import cosine
from lemonade_tf.training.settings import TrainingSettings


def train(network, digits, *, count=320, epochs=2, seed=0, **settings):
    model = current_backend().training_model(network)
    place = current_backend().place
    result = fit(
        model,
        place(digits.x_train[:count]),
        place(digits.y_train[:count]),
        epochs=epochs,
        settings=TrainingSettings(**settings),
        rng=np.random.default_rng(seed),
    )
    return result, read_weights(model, network)


def test_the_loss_decreases(network, digits):
    result, _ = train(network, digits, epochs=5, batch_size=32)
    assert len(result.losses) == 5
    assert result.losses[-1] < 0.6 * result.losses[0]
    assert result.num_traces == 1
    assert result.seconds > 0


def test_the_same_seed_gives_the_same_weights_bit_for_bit(network, digits, assert_equal_weights):
    _, first = train(network, digits, seed=3)
    _, second = train(network, digits, seed=3)
    assert_equal_weights(first, second)


@pytest.mark.parametrize("epochs", [1, 30])
def test_moving_averages_follow_within_few_steps(network, digits, epochs, assert_equal_weights):
    """Of a training of 5 steps with a momentum of 0.9, of one of 150 with 1 - 10 / 150."""

    def with_momentum(momentum):
        graph = network.copy()
        for name, node in network.items():
            if isinstance(node.layer, BatchNormalization):
                graph.set_layer(name, replace(node.layer, momentum=momentum))
        return graph

    limit = max(0.9, 1 - 10 / (5 * epochs))
    slow, limited, faster = (
        train(with_momentum(momentum), digits, epochs=epochs)[1] for momentum in (0.999, limit, 0.9)
    )
    assert_equal_weights(slow, limited)
    assert slow["bn_1"].layer.momentum == 0.999
    assert (slow["bn_1"].weights["moving_mean"] == faster["bn_1"].weights["moving_mean"]).all() == (
        limit == 0.9
    )


def test_different_seeds_draw_different_orders(network, digits):
    (first, _), (second, _) = (train(network, digits, seed=seed) for seed in (3, 4))
    assert first.losses != second.losses


def test_images_that_do_not_fill_the_last_batch_are_dropped(network, digits):
    result, _ = train(network, digits, count=100, batch_size=32)
    assert result.num_images == 2 * 96


def test_fewer_images_than_a_batch_are_one_batch(network, digits):
    result, _ = train(network, digits, count=20, batch_size=64)
    assert result.num_images == 2 * 20


def test_without_epochs_the_weights_stay(network, digits, assert_equal_weights):
    result, weights = train(network, digits, epochs=0)
    assert (result.losses, result.num_images) == ((), 0)
    assert_equal_weights(network, weights)


def test_the_error_of_divergence_names_the_epoch(network, digits):
    with pytest.raises(
        TrainingDiverged, match=r"loss is (nan|inf) after epoch \d+ of 30 with an init"
    ):
        train(network, digits, epochs=30, learning_rate=1e30)


def test_float_images_train_like_the_same_bytes(network, digits):
    result, _ = train(network, digits)
    floats = replace(digits, x_train=digits.x_train.astype(np.float32))
    assert train(network, floats)[0].losses == result.losses


def test_the_learning_rate_decays_over_all_epochs(network, digits, monkeypatch):
    rates = []

    class Recorder:
        num_traces, seconds_compiling, jit_compile = 1, 0.0, False

        def compile(self, images, targets, indices, learning_rates, draws):
            assert indices.shape == (3, 100)

        def run_epoch(self, images, targets, indices, learning_rates, draws):
            assert indices.shape == (3, 100)
            rates.extend(learning_rates)
            return 1.0

    monkeypatch.setattr("lemonade_tf.training.fit.make_trainer", lambda *_, **__: Recorder())
    train(network, digits, epochs=4, batch_size=100, learning_rate=0.3)
    np.testing.assert_array_equal(rates, cosine(0.3, 12))
