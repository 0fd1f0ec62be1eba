"""Shake-Shake and ScheduledDropPath: exact at inference, with the distributions of their papers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.regularization import Regularization
from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge.random_paths import DropPath, ShakeShake
from lemonade_tf.keras_bridge.weights import read_weights
from lemonade_tf.operators.initial import initial_weights

BOTH = Regularization(shake_shake=True, drop_path=0.4)
STEPS, BATCH = 6, 8


@pytest.fixture(scope="module")
def graph():
    """A network with a mean of two branches, and a sum with a skip."""
    graph = Graph()
    at = graph.add("input", kinds.Input((6, 6, 1)))
    at = graph.add("rescaling", kinds.Rescaling(1 / 127.5, -1.0), [at])
    at = stem = graph.add("stem", kinds.Conv2D(4, 3), [at])
    branches = [graph.add(f"branch_{part}", kinds.Conv2D(4, 3), [at]) for part in "ab"]
    at = graph.add("mean", kinds.Average(), branches)
    at = graph.add("sum", kinds.Add(), [stem, at])
    at = graph.add("pool", kinds.GlobalAveragePooling2D(), [at])
    at = graph.add("logits", kinds.Dense(3), [at])
    graph.output = graph.add("softmax", kinds.Activation("softmax"), [at])
    return initial_weights(graph, rng=np.random.default_rng(0))


def images(number=STEPS * BATCH):
    return np.random.default_rng(1).integers(0, 256, (number, 6, 6, 1), dtype=np.uint8)


def train(graph, regularization=BOTH, *, parts=(STEPS,), **options):
    """Train a few steps in parts, each with a trainer of its own; return the weights."""
    rng = np.random.default_rng(2)
    x, y = current_backend().place(images()), rng.integers(0, 3, STEPS * BATCH, dtype=np.int32)
    indices = np.arange(STEPS * BATCH, dtype=np.int32).reshape(STEPS, BATCH)
    rates, state, first = np.full(STEPS, 0.05, np.float32), None, 0
    for length in parts:
        model = current_backend().training_model(
            graph, seed=3, regularization=regularization, num_steps=STEPS
        )
        trainer = current_backend().trainer(model, momentum=0.9, weight_decay=0.0, **options)
        if state is not None:
            trainer.restore(state)
        some = slice(first, first + length)
        loss = trainer.run_epoch(x, current_backend().place(y), indices[some], rates[some], {})
        assert np.isfinite(loss)
        assert trainer.num_traces == 1
        state, first = trainer.state(), first + length
    return weights(model, graph)


def weights(model, graph):
    """Return the weights of a model by node, all nodes of the graph among them."""
    return {name: node.weights for name, node in read_weights(model, graph).items()}


@pytest.fixture(scope="module")
def trained(graph):
    return train(graph)


def largest_difference(one, other):
    return max(
        np.abs(value - other[name][key]).max()
        for name, values in one.items()
        for key, value in values.items()
    )


def test_inference_is_the_same_bit_for_bit(graph):
    plain = current_backend().training_model(graph)
    regular = current_backend().training_model(graph, regularization=BOTH, num_steps=STEPS)
    assert {type(layer) for layer in regular.layers} >= {ShakeShake, DropPath}
    outputs = [current_backend().forward(m).probabilities(images()) for m in (plain, regular)]
    np.testing.assert_array_equal(*outputs)
    assert largest_difference(weights(regular, graph), weights(plain, graph)) == 0


def test_it_acts_in_training_and_by_the_seed(graph, trained):
    plain, shaken = train(graph, Regularization()), train(graph, Regularization(shake_shake=True))
    assert largest_difference(plain, shaken) > 1e-4
    assert largest_difference(shaken, trained) > 1e-4
    # A resumed training draws what an uninterrupted one draws, at the same place of the schedule.
    assert largest_difference(trained, train(graph, parts=(2, 4))) == 0


# XLA has a random number generator of its own.
@pytest.mark.parametrize("options", [{"jit_compile": "always"}, {"precision": "bfloat16"}])
def test_xla_and_bfloat16_train_alike(graph, trained, options):
    assert 0 < largest_difference(trained, train(graph, **options)) < 0.05


def test_shake_shake_mixes_each_image_with_other_shares_in_the_backward_pass():
    layer, zeros, ones = ShakeShake(seed=0), tf.zeros((4000, 2, 2, 1)), tf.ones((4000, 2, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch([zeros, ones])
        mixed = layer([ones, zeros], training=True)
    first, second = tape.gradient(mixed, [ones, zeros])
    alpha, beta = mixed.numpy()[:, 0, 0, 0], first.numpy()[:, 0, 0, 0]
    for shares in (alpha, beta):  # uniform in [0, 1]
        np.testing.assert_allclose(
            np.quantile(shares, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03
        )
        assert 0 <= shares.min() < shares.max() <= 1
    assert abs(np.corrcoef(alpha, beta)[0, 1]) < 0.05
    np.testing.assert_allclose(first + second, ones, atol=1e-6)
    np.testing.assert_allclose(mixed, np.broadcast_to(mixed[:, :1, :1], mixed.shape), atol=1e-6)
    np.testing.assert_array_equal(layer([ones, zeros]), keras.layers.Average()([ones, zeros]))


def test_drop_path_starts_at_0_and_grows_linearly():
    layer, ones = DropPath(0.4, num_steps=4, seed=0), tf.ones((4000, 2, 1, 1))
    for step in range(4):
        kept = layer(ones, training=True).numpy()
        rate = 0.4 * step / 4
        assert np.mean(kept[:, 0] == 0) == pytest.approx(rate, abs=0.025)
        np.testing.assert_allclose(kept[kept > 0], 1 / (1 - rate), rtol=1e-6)
        np.testing.assert_array_equal(kept[:, 0], kept[:, 1])  # whole images
    np.testing.assert_array_equal(layer(ones), ones)
