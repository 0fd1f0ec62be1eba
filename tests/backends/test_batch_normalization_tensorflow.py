import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lemonade_tf.backends import batch_normalization_tensorflow as module
from lemonade_tf.backends.batch_normalization_tensorflow import FusedBatchNormalization

CHANNELS = (4, 14, 33)  # each with a different algorithm
ARGUMENTS = [{}, {"momentum": 0.5, "epsilon": 1e-2}, {"scale": False}, {"center": False}]


def layers(channels, **arguments):
    rng = np.random.default_rng(0)
    values = [rng.uniform(0.5, 2, channels) for _ in range(4)]
    pair = FusedBatchNormalization(**arguments), keras.layers.BatchNormalization(**arguments)
    for layer in pair:
        layer.build((None, 6, 6, channels))
        layer.set_weights(values[: len(layer.weights)])
    return pair


def images(*shape, mean=1.0):
    return np.random.default_rng(1).normal(mean, 3, shape).astype(np.float32)


def gradient_of(shape):
    return np.random.default_rng(2).normal(size=shape).astype(np.float32)


def train(layer, x, signature=None):
    """Return outputs, gradients, and the moving averages after one step."""

    @tf.function(autograph=False, input_signature=signature)
    def step(x, gradient):
        y = layer(x, training=True)
        sources = [x, *(v.value for v in layer.trainable_variables)]
        return y, *tf.gradients(y, sources, gradient)

    found = step(tf.constant(x), tf.cast(gradient_of(x.shape), x.dtype))
    return [*found, *(v.numpy() for v in layer.non_trainable_variables)]


def reference(layer, x):
    """Return what `train` does, by the formulas in float64."""
    x, gradient = x.astype(np.float64), gradient_of(x.shape).astype(np.float64)
    values = {v.name: v.numpy().astype(np.float64) for v in layer.weights}
    pixels = (0, 1, 2)
    mean, variance = x.mean(pixels), x.var(pixels)
    inverse = 1 / np.sqrt(variance + layer.epsilon)
    unit = (x - mean) * inverse
    scale, offset = values.get("gamma", 1.0), values.get("beta", 0.0)
    mean_product, mean_gradient = (gradient * unit).mean(pixels), gradient.mean(pixels)
    count = x.size // x.shape[-1]
    of_weights = {"gamma": mean_product * count, "beta": mean_gradient * count}
    averages = {"moving_mean": mean, "moving_variance": variance}
    return [
        scale * unit + offset,
        scale * inverse * (gradient - mean_gradient - unit * mean_product),
        *(of_weights[v.name] for v in layer.trainable_variables),
        *(
            layer.momentum * values[name] + (1 - layer.momentum) * new
            for name, new in averages.items()
        ),
    ]


def assert_close(found, expected, tolerance):
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_allclose(
            a, b, rtol=0, atol=tolerance * np.abs(b).max(), err_msg=str(number)
        )


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_training_equals_the_formulas(channels, arguments):
    layer, _ = layers(channels, **arguments)
    x = images(8, 6, 6, channels)
    expected = reference(layer, x)
    assert_close(train(layer, x), expected, 2e-6)


@pytest.mark.parametrize("channels", CHANNELS)
def test_training_equals_keras(channels):
    fused, stock = layers(channels)
    x = images(8, 6, 6, channels)
    assert_close(train(fused, x), [np.asarray(a) for a in train(stock, x)], 2e-6)


@pytest.mark.parametrize("channels", CHANNELS)
def test_bfloat16_images_are_normalized_in_float32(channels):
    """Only images and their gradients are rounded, to 8 bits."""
    fused, _ = layers(channels)
    x = tf.cast(images(8, 6, 6, channels), tf.bfloat16)
    expected = reference(fused, x.numpy().astype(np.float32))
    fused.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    y, of_images, *others = train(fused, x)
    assert y.dtype == of_images.dtype == tf.bfloat16
    for found, exact in zip((y, of_images), expected[:2], strict=True):
        np.testing.assert_allclose(found.numpy().astype(np.float32), exact, rtol=2**-8, atol=0.02)
    assert_close(others, expected[2:], 2e-2)


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(*[st.integers(1, most) for most in (4, 9, 9, 40)]).filter(
        lambda shape: np.prod(shape[:3]) > 3
    )
)
def test_training_equals_the_formulas_for_any_shape(shape):
    layer, _ = layers(shape[-1])
    x = images(*shape)
    expected = reference(layer, x)
    assert_close(train(layer, x), expected, 1e-5)


@pytest.mark.parametrize(("channels", "tolerance"), [(13, 2e-6), (33, 5e-5)])
@pytest.mark.parametrize("mean", [0.7, 20.0])
def test_training_is_exact_with_many_pixels(channels, tolerance, mean):
    """Sums over rows are more exact than those of Keras, which are off by 1e-5 and more here."""
    layer, _ = layers(channels)
    x = images(32, 32, 32, channels, mean=mean)
    expected = reference(layer, x)
    assert_close(train(layer, x), expected, tolerance)


def test_the_moving_variance_averages_the_biased_variance():
    fused, _ = layers(4, momentum=0.0)
    x = images(8, 6, 6, 4)
    train(fused, x)
    biased = np.var(x.astype(np.float64), axis=(0, 1, 2))
    np.testing.assert_allclose(fused.moving_variance.numpy(), biased, rtol=1e-6)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_inference_equals_keras_bit_for_bit(channels, arguments):
    fused, stock = layers(channels, **arguments)
    x = images(8, 6, 6, channels)
    np.testing.assert_array_equal(fused(x), stock(x))
    in_graph = tf.function(fused, autograph=False)
    np.testing.assert_array_equal(in_graph(tf.constant(x)), stock(x))


@pytest.mark.parametrize("channels", CHANNELS)
def test_a_frozen_layer_runs_in_inference_and_passes_gradients(channels):
    fused, stock = layers(channels)
    fused.trainable = stock.trainable = False
    x = images(8, 6, 6, channels)
    before = fused.get_weights()
    found, expected = train(fused, x), train(stock, x)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(fused.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("channels", CHANNELS)
def test_eager_training_and_unknown_batch_sizes_use_keras(channels):
    x = images(8, 6, 6, channels)
    fused, stock = layers(channels)
    np.testing.assert_array_equal(fused(x, training=True), stock(x, training=True))
    fused, stock = layers(channels)
    signature = [tf.TensorSpec((None, 6, 6, channels), tf.float32)] * 2
    for a, b in zip(train(fused, x, signature), train(stock, x, signature), strict=True):
        np.testing.assert_array_equal(a, b)


def test_functions_are_traced_once_for_all_shapes():
    for size in (4, 5):
        for channels in (8, 13, 33, 12, 15, 41):
            layer, _ = layers(channels)
            train(layer, images(size, 6, 6, channels))
        if size == 4:
            traced = module._functions.cache_info().misses
    assert module._functions.cache_info().misses == traced
