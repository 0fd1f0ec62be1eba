import keras
import numpy as np
import pytest
import tensorflow as tf

from lemonade_tf.keras_bridge.batch_normalization_tensorflow import FusedBatchNormalization

CHANNELS = (4, 14)  # through the kernel, and not


def layers(channels, **arguments):
    rng = np.random.default_rng(0)
    values = [rng.uniform(0.5, 2, channels) for _ in range(4)]
    pair = FusedBatchNormalization(**arguments), keras.layers.BatchNormalization(**arguments)
    for layer in pair:
        layer.build((None, 6, 6, channels))
        layer.set_weights(values[: len(layer.weights)])
    return pair


def images(channels):
    return tf.constant(np.random.default_rng(1).normal(1, 3, (8, 6, 6, channels)), tf.float32)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(
    "arguments", [{}, {"momentum": 0.5, "epsilon": 1e-2}, {"scale": False}, {"center": False}]
)
def test_training_agrees_with_keras(channels, arguments):
    fused, stock = layers(channels, **arguments)
    x, weights = images(channels), tf.random.stateless_normal((8, 6, 6, channels), (1, 2))
    results = []
    for layer in (fused, stock):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(y * weights)
        sources = [x, *(v.value for v in layer.trainable_variables)]
        results.append([y, *tape.gradient(loss, sources), *(v.numpy() for v in layer.weights)])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_the_moving_variance_is_of_the_biased_variance():
    fused, _ = layers(4, momentum=0.0)
    x = images(4)
    fused(x, training=True)
    biased = np.var(x.numpy().astype(np.float64), axis=(0, 1, 2))
    np.testing.assert_allclose(fused.moving_variance.numpy(), biased, rtol=1e-6)


@pytest.mark.parametrize("channels", CHANNELS)
def test_inference_is_bit_for_bit_that_of_keras(channels):
    fused, stock = layers(channels)
    x = images(channels)
    np.testing.assert_array_equal(fused(x), stock(x))


@pytest.mark.parametrize("channels", CHANNELS)
def test_a_frozen_layer_is_in_inference(channels):
    fused, stock = layers(channels)
    fused.trainable = False
    before = fused.get_weights()
    np.testing.assert_array_equal(fused(images(channels), training=True), stock(images(channels)))
    for found, expected in zip(fused.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)
