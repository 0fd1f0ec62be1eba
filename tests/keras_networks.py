"""Keras models for tests: with random weights and random statistics of batch norms."""

import keras
import numpy as np

layers = keras.layers


def randomised(model, seed=0):
    """Give a model weights and statistics that differ from the defaults; return it."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            randomised(layer, seed + 1)
            continue
        for variable in layer.weights:
            if variable.name in ("gamma", "moving_variance", "variance"):
                variable.assign(rng.uniform(0.5, 1.5, variable.shape))
            elif variable.name in ("beta", "moving_mean", "mean", "bias"):
                variable.assign(rng.normal(0, 0.3, variable.shape))
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
    return model


def _normed(tensor, layer, activation, name):
    tensor = layer(tensor)
    tensor = layers.BatchNormalization(name=f"{name}_bn")(tensor)
    return layers.Activation(activation, name=f"{name}_out")(tensor)


def residual(side=64, num_classes=10):
    """Return a small network with residual sums, squeeze-and-excitation and a model inside.

    block_conv is tied to stem_conv by the sum; grouped_conv to its gate; last_conv reads a
    concatenation.
    """
    start = keras.Input((side, side, 3), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scaled")(start)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    stem = _normed(x, layers.Conv2D(8, 3, strides=2, name="stem_conv"), "relu", "stem")
    x = _normed(stem, layers.Conv2D(12, 1, name="grow_conv"), "relu6", "grow")
    grouped = layers.Conv2D(12, 3, padding="same", groups=4, name="grouped_conv")
    x = _normed(x, grouped, "silu", "grouped")
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = layers.Conv2D(4, 1, activation="relu", name="gate_reduce")(gate)
    gate = layers.Conv2D(12, 1, activation="sigmoid", name="gate_expand")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    x = layers.Conv2D(8, 1, use_bias=False, name="block_conv")(x)
    x = layers.BatchNormalization(name="block_bn")(x)
    block = layers.ReLU(name="block_out")(stem + x)
    inside = keras.Sequential(
        [
            layers.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise"),
            layers.BatchNormalization(name="depthwise_bn"),
            layers.ReLU(6.0, name="depthwise_out"),
        ],
        name="inside",
    )(block)
    pooled = layers.AveragePooling2D(2, name="pooled")(block)
    x = layers.Concatenate(name="both")([inside, pooled])
    x = _normed(
        x, layers.Conv2D(16, 3, strides=2, padding="same", name="last_conv"), "relu", "last"
    )
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(num_classes, activation="softmax", name="classes")(x)
    return randomised(keras.Model(start, x, name="residual"))
