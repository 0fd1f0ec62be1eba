"""Every kind of layer in a small Keras model: converted, computed, counted, widened and pruned."""

import keras
import numpy as np
import pytest
from keras import layers as L
from reference import forward

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.keras_bridge import from_keras, to_keras
from lemonade_tf.keras_bridge.unnamed_layers import applications_layer
from lemonade_tf.operators import PruneFilters, WidenConvolution

CHANNELS = 6


def _splits(x):
    first, second = keras.ops.split(x, 2, axis=-1)
    return keras.ops.concatenate([second, first, x[..., 1:3]], axis=-1)


def _squeeze_and_excite(x):
    gate = keras.ops.mean(x, axis=(1, 2), keepdims=True)
    return x * keras.activations.sigmoid(L.Conv2D(CHANNELS, 1, name="gate")(gate))


def _caffe(x):
    return x + np.arange(CHANNELS, dtype="float32").reshape(1, 1, 1, -1)


# What comes between the convolutions `before` and `after`, and whether the filters of `before` can
# change.
FREE = {
    "Conv2DTranspose": L.Conv2DTranspose(5, 3, strides=2, padding="same"),
    "Conv2DTranspose, valid": L.Conv2DTranspose(5, (2, 3), strides=(3, 2), use_bias=False),
    "Conv2DTranspose, output padding": L.Conv2DTranspose(5, 3, 2, "same", output_padding=1),
    "Conv2DTranspose, dilated": L.Conv2DTranspose(5, 2, dilation_rate=2),
    "Conv2D, dilated": L.Conv2D(5, 3, padding="same", dilation_rate=(2, 1)),
    "DepthwiseConv2D, dilated": L.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=2),
    "SeparableConv2D, dilated": L.SeparableConv2D(5, 3, dilation_rate=2),
    "UpSampling2D": L.UpSampling2D((2, 3)),
    "UpSampling2D, bilinear": L.UpSampling2D(2, interpolation="bilinear"),
    "Resizing": L.Resizing(9, 4),
    "Resizing, nearest": L.Resizing(4, 9, "nearest"),
    "resize": lambda x: keras.ops.image.resize(x, (9, 4)),
    "GlobalMaxPooling2D": L.GlobalMaxPooling2D(keepdims=True),
    "GlobalAveragePooling2D": L.GlobalAveragePooling2D(keepdims=True),
    "mean": lambda x: keras.ops.mean(x, axis=[-3, -2], keepdims=True),
    "max": lambda x: keras.ops.max(x, axis=(1, 2), keepdims=True),
    "squeeze and excite": _squeeze_and_excite,
    "splits and slices": _splits,
    "concatenate": lambda x: L.concatenate([x, keras.ops.relu(x), x[:, :, :, -2:]]),
    "Concatenate of one": lambda x: L.Concatenate()([x]),
    "max_pool": lambda x: keras.ops.max_pool(x, 2, padding="same"),
    "average_pool": lambda x: keras.ops.average_pool(x, (2, 3), 1),
    "Permute": L.Permute((2, 1, 3)),
    "transpose": lambda x: keras.ops.transpose(x, (0, 2, 1, 3)),
    "LayerScale": applications_layer("LayerScale")(0.1, CHANNELS),
    "instance normalization": L.GroupNormalization(-1),
    "ReLU": L.ReLU(3.0, 0.1, 0.3),
    "LeakyReLU": L.LeakyReLU(0.2),
    "PReLU": L.PReLU(),
    "PReLU, shared": L.PReLU(shared_axes=[1, 2]),
    "PReLU, one alpha": L.PReLU(shared_axes=[1, 2, 3]),
    "ELU": L.ELU(0.7),
    "leaky_relu": lambda x: keras.activations.leaky_relu(x, 0.3),
    "pad": lambda x: keras.ops.pad(x, [[0, 0], [2, 1], [0, 3], [0, 0]]),
    "pad, value": lambda x: keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "constant", 0),
    "crop": lambda x: x[:, 1:-1, :3],
    "stride": lambda x: x[:, ::2, ::3, :] + x[:, :3, :2],
    "clip": lambda x: keras.ops.clip(x, 0, 6),
    "rescaled": lambda x: -(2 * (x / 127.5 - 1) + 3),
    "a - b": lambda x: x - 2 * keras.ops.sigmoid(x),
    "Average": lambda x: L.Average()([x, L.ReLU()(x)]),
    "Maximum": lambda x: L.Maximum()([x, -x, 0.5 * x]),
    "minimum": lambda x: keras.ops.minimum(x, keras.ops.tanh(x)),
    "broadcast": lambda x: L.Add()([x, L.GlobalMaxPooling2D(keepdims=True)(x)]),
    "GaussianNoise": L.GaussianNoise(0.1),
    "SpatialDropout2D": L.SpatialDropout2D(0.1),
    "StochasticDepth": applications_layer("StochasticDepth")(0.1),
    "Identity": L.Identity(),
    "RandomFlip": L.RandomFlip("horizontal", seed=1),
    "RandomZoom": L.RandomZoom((0.1, 0.2)),
    "twice": lambda x, relu=L.ReLU(): relu(relu(x) - 0.5),  # noqa: B008
    "an activation layer as activation": L.Conv2D(5, 1, activation=L.LeakyReLU(0.1)),
    **{
        name: L.Activation(name)
        for name in kinds.ELEMENTWISE_ACTIVATIONS
        if name not in ("relu", "relu6", "linear")
    },
}
CAPPED = {  # new channels would change the others, but channels can be removed
    "LayerNormalization": L.LayerNormalization(epsilon=1e-6),
    "GroupNormalization": L.GroupNormalization(2),
    "GroupNormalization, one": L.GroupNormalization(1, scale=False),
    "ConvNeXt": lambda x: L.LayerNormalization()(L.Conv2D(CHANNELS, 3, groups=CHANNELS)(x)),
}
FIXED = {
    "Permute, channels": L.Permute((3, 1, 2)),
    "Softmax": L.Softmax(),
    "log_softmax": lambda x: keras.ops.log_softmax(x),
    "per channel": _caffe,
}


def _model(between):
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 5, 3))
    x = L.Conv2D(CHANNELS, 3, padding="same", name="before")(image)
    x = L.Conv2D(4, 2, name="after", padding="same")(between(x))
    model = keras.Model(image, L.Dense(3, name="logits")(L.GlobalAveragePooling2D()(x)))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.uniform(-0.5, 0.8, variable.shape))
    return model


IMAGES = np.random.default_rng(1).uniform(-2, 2, (3, 6, 5, 3)).astype(np.float32)


def _outputs(model):
    return np.asarray(model(IMAGES, training=False))


def _values(graph, node="logits"):
    return forward(graph, IMAGES)[node]


def _assert_keras_agrees(graph, model):
    np.testing.assert_allclose(_outputs(model), _values(graph), rtol=1e-4, atol=1e-5)
    assert count_parameters(graph) == model.count_params()


def _round_trip(model):
    """Return the graph of a model, which comes back as it was."""
    graph = from_keras(model)
    check(graph)
    assert {type(node.layer) for _, node in graph.items()} <= set(kinds.LAYERS)
    np.testing.assert_array_equal(_outputs(to_keras(graph)), _outputs(model))
    _assert_keras_agrees(graph, model)
    return graph


def _without_removed(graph, change):
    """Return the parent with zero weights for the channels that a change removed."""
    graph = graph.copy()
    for name, node in graph.items():
        source = change.sources.get(node.inputs[0]) if node.inputs else None
        key = "pointwise_kernel" if "pointwise_kernel" in node.weights else "kernel"
        if (
            source is None
            or key not in node.weights
            or isinstance(node.layer, kinds.DepthwiseConv2D)
        ):
            continue
        kernel = node.weights[key].copy()
        axis = -1 if isinstance(node.layer, kinds.Conv2DTranspose) else -2
        removed = np.setdiff1d(np.arange(kernel.shape[axis]), source)
        np.moveaxis(kernel, axis, 0)[removed] = 0
        graph.set_weights(name, {**node.weights, key: kernel})
    return graph


@pytest.mark.parametrize("between", FREE.values(), ids=FREE)
def test_a_kind_that_passes_or_absorbs_channels(between):
    graph = _round_trip(_model(between))
    rng = np.random.default_rng(0)
    for split in (False, True):
        operator = WidenConvolution(split=split, factors=(1.5,))
        wide = operator.apply(graph, operator.site("before", 1.5), rng=rng).graph
        np.testing.assert_allclose(_values(wide), _values(graph), rtol=1e-9, atol=1e-12)
    _assert_keras_agrees(wide, to_keras(wide))
    operator = PruneFilters(fractions=("1/3",))
    change = operator.apply(graph, operator.site("before", "1/3"), rng=rng)
    check(change.graph)
    expected = _values(_without_removed(graph, change))
    np.testing.assert_allclose(_values(change.graph), expected, rtol=1e-9, atol=1e-12)
    assert count_parameters(change.graph) < count_parameters(graph)


@pytest.mark.parametrize("between", CAPPED.values(), ids=CAPPED)
def test_a_kind_that_normalizes_channels_together(between):
    graph = _round_trip(_model(between))
    operator = WidenConvolution()
    site = next(iter(operator._sites(graph)))
    assert site.node == "before"
    assert "would change the others" in operator.refusal(graph, site)
    operator, rng = PruneFilters(fractions=("1/3",)), np.random.default_rng(0)
    pruned = operator.apply(graph, operator.site("before", "1/3"), rng=rng).graph
    check(pruned)
    assert pruned.shapes()["before"][-1] == 4
    _assert_keras_agrees(pruned, to_keras(pruned))


@pytest.mark.parametrize("between", FIXED.values(), ids=FIXED)
def test_a_kind_that_fixes_channels(between):
    graph = _round_trip(_model(between))
    for operator in (WidenConvolution(), PruneFilters()):
        site = next(iter(operator._sites(graph)))
        assert site.node == "before"
        assert "cannot change" in operator.refusal(graph, site)
