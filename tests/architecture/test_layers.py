"""Output and weight shapes by hand, and the arguments and inputs that layers refuse."""

import re

import pytest

from lemonade_tf.architecture import LAYERS, Layer, ShapeError
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.layers import arguments

IMAGE = (9, 8, 4)
CASES = [  # layer, shapes of the inputs, shape of the output, shapes of the weights
    (L.Input((9, 8, 4)), [], IMAGE, {}),
    (L.Rescaling(0.5), [IMAGE], IMAGE, {}),
    (L.Rescaling((1, 2, 3, 4), 1), [IMAGE], IMAGE, {}),
    (L.Normalization(), [IMAGE], IMAGE, {"mean": (4,), "variance": (4,), "count": ()}),
    (L.Normalization((1, 2, 3, 4), 2), [IMAGE], IMAGE, {}),
    (L.Conv2D(6), [IMAGE], (9, 8, 6), {"kernel": (3, 3, 4, 6)}),
    (L.Conv2D(6, (3, 5), strides=2), [IMAGE], (5, 4, 6), {"kernel": (3, 5, 4, 6)}),
    (L.Conv2D(6, 3, strides=(2, 3), padding="valid"), [IMAGE], (4, 2, 6), {"kernel": (3, 3, 4, 6)}),
    (
        L.Conv2D(6, 1, use_bias=True),
        [IMAGE],
        (9, 8, 6),
        {"kernel": (1, 1, 4, 6), "bias": (6,)},
    ),
    (L.Conv2D(6, 3, groups=2), [IMAGE], (9, 8, 6), {"kernel": (3, 3, 2, 6)}),
    (L.Conv2D(1, (9, 8), padding="valid"), [IMAGE], (1, 1, 1), {"kernel": (9, 8, 4, 1)}),
    (
        L.DepthwiseConv2D(3, strides=2, depth_multiplier=2, use_bias=True),
        [IMAGE],
        (5, 4, 8),
        {"kernel": (3, 3, 4, 2), "bias": (8,)},
    ),
    (L.DepthwiseConv2D(2, padding="valid"), [IMAGE], (8, 7, 4), {"kernel": (2, 2, 4, 1)}),
    (
        L.SeparableConv2D(6, 5, depth_multiplier=3, use_bias=True),
        [IMAGE],
        (9, 8, 6),
        {"depthwise_kernel": (5, 5, 4, 3), "pointwise_kernel": (1, 1, 12, 6), "bias": (6,)},
    ),
    (
        L.SeparableConv2D(6, 3, strides=2, padding="valid"),
        [IMAGE],
        (4, 3, 6),
        {"depthwise_kernel": (3, 3, 4, 1), "pointwise_kernel": (1, 1, 4, 6)},
    ),
    (
        L.BatchNormalization(),
        [IMAGE],
        IMAGE,
        dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (4,)),
    ),
    (
        L.BatchNormalization(center=False, scale=False),
        [(7,)],
        (7,),
        dict.fromkeys(("moving_mean", "moving_variance"), (7,)),
    ),
    (L.Conv2D(6, 3, dilation_rate=2), [IMAGE], (9, 8, 6), {"kernel": (3, 3, 4, 6)}),
    (
        L.Conv2D(6, 3, padding="valid", dilation_rate=(2, 3)),
        [IMAGE],
        (5, 2, 6),
        {"kernel": (3, 3, 4, 6)},
    ),
    (
        L.Conv2DTranspose(6, 3, strides=2, use_bias=True),
        [IMAGE],
        (18, 16, 6),
        {"kernel": (3, 3, 6, 4), "bias": (6,)},
    ),
    (
        L.Conv2DTranspose(6, (2, 5), strides=3, padding="valid"),
        [IMAGE],
        (27, 26, 6),
        {"kernel": (2, 5, 6, 4)},
    ),
    (
        L.Conv2DTranspose(6, 3, strides=2, output_padding=(0, 1)),
        [IMAGE],
        (17, 16, 6),
        {"kernel": (3, 3, 6, 4)},
    ),
    (L.LayerNormalization(), [IMAGE], IMAGE, {"gamma": (4,), "beta": (4,)}),
    (L.LayerNormalization(1e-6, center=False), [(7,)], (7,), {"gamma": (7,)}),
    (L.GroupNormalization(2), [IMAGE], IMAGE, {"gamma": (4,), "beta": (4,)}),
    (L.GroupNormalization(-1, scale=False), [IMAGE], IMAGE, {"beta": (4,)}),
    (L.LayerScale(1e-6, 4), [IMAGE], IMAGE, {"gamma": (4,)}),
    (L.LeakyReLU(0.1), [IMAGE], IMAGE, {}),
    (L.ELU(), [IMAGE], IMAGE, {}),
    (L.PReLU(), [IMAGE], IMAGE, {"alpha": IMAGE}),
    (L.PReLU((1, 2)), [IMAGE], IMAGE, {"alpha": (1, 1, 4)}),
    (L.PReLU((1,)), [(7,)], (7,), {"alpha": (1,)}),
    (L.GlobalMaxPooling2D(), [IMAGE], (4,), {}),
    (L.UpSampling2D((2, 3)), [IMAGE], (18, 24, 4), {}),
    (L.Resizing(5, 7), [IMAGE], (5, 7, 4), {}),
    (L.Permute((3, 1, 2)), [IMAGE], (4, 9, 8), {}),
    (L.ChannelSlice(1, 3), [IMAGE], (9, 8, 2), {}),
    (L.TrainingOnly("GaussianNoise", '{"stddev": 0.1}'), [IMAGE], IMAGE, {}),
    (L.Subtract(), [IMAGE, IMAGE], IMAGE, {}),
    (L.Average(), [IMAGE, IMAGE, IMAGE], IMAGE, {}),
    (L.Maximum(), [IMAGE, (1, 1, 4)], IMAGE, {}),
    (L.Minimum(), [IMAGE, IMAGE], IMAGE, {}),
    (L.Concatenate(), [IMAGE], IMAGE, {}),
    (L.ReLU(), [IMAGE], IMAGE, {}),
    (L.ReLU(6.0), [(7,)], (7,), {}),
    (L.Activation("softmax"), [(7,)], (7,), {}),
    (L.MaxPooling2D(), [IMAGE], (4, 4, 4), {}),
    (L.MaxPooling2D(3, 2, padding="same"), [IMAGE], (5, 4, 4), {}),
    (L.MaxPooling2D(2, 1), [IMAGE], (8, 7, 4), {}),
    (L.AveragePooling2D((3, 2)), [IMAGE], (3, 4, 4), {}),
    (L.AveragePooling2D(2, padding="same"), [IMAGE], (5, 4, 4), {}),
    (L.GlobalAveragePooling2D(), [IMAGE], (4,), {}),
    (L.GlobalAveragePooling2D(keepdims=True), [IMAGE], (1, 1, 4), {}),
    (L.ZeroPadding2D(((0, 1), (2, 3))), [IMAGE], (10, 13, 4), {}),
    (L.ZeroPadding2D((2, 1)), [IMAGE], (13, 10, 4), {}),
    (L.Cropping2D(((0, 1), (2, 3))), [IMAGE], (8, 3, 4), {}),
    (L.Reshape((6, 2, 24)), [IMAGE], (6, 2, 24), {}),
    (L.Reshape((4, -1)), [IMAGE], (4, 72), {}),
    (L.Flatten(), [IMAGE], (288,), {}),
    (L.Dropout(0.5), [IMAGE], IMAGE, {}),
    (L.Dropout(0.5, (None, 1, 1, 1)), [IMAGE], IMAGE, {}),
    (L.Dense(5), [(7,)], (5,), {"kernel": (7, 5), "bias": (5,)}),
    (L.Dense(5, use_bias=False), [IMAGE], (9, 8, 5), {"kernel": (4, 5)}),
    (L.Add(), [IMAGE, IMAGE, IMAGE], IMAGE, {}),
    (L.Multiply(), [IMAGE, IMAGE], IMAGE, {}),
    (L.Multiply(), [(1, 1, 4), (9, 8, 1), (9, 1, 1)], IMAGE, {}),
    (L.ConvexSum(), [IMAGE, IMAGE], IMAGE, {"lambda": ()}),
    (L.Concatenate(), [IMAGE, (9, 8, 1), IMAGE], (9, 8, 9), {}),
    (L.Concatenate(), [(3,), (4,)], (7,), {}),
]


@pytest.mark.parametrize(("layer", "inputs", "output", "weights"), CASES, ids=lambda v: str(v)[:40])
def test_shapes_of_output_and_weights(layer, inputs, output, weights):
    assert layer.output_shape(*inputs) == output
    assert layer.weight_shapes(*inputs) == weights


def test_every_kind_of_layer_is_covered():
    assert {type(layer) for layer, *_ in CASES} == set(LAYERS)


@pytest.mark.parametrize("layer", [layer for layer, *_ in CASES], ids=str)
def test_arguments_make_the_same_layer(layer):
    again = type(layer)(**arguments(layer))
    assert again == layer
    assert hash(again) == hash(layer)
    assert repr(again) == repr(layer)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (L.Input([8, 8, 3]), L.Input((8, 8, 3))),
        (L.Conv2D(8, 3), L.Conv2D(8, [3, 3], strides=[1, 1])),
        (L.MaxPooling2D(2), L.MaxPooling2D((2, 2), 2)),
        (L.Rescaling(2, [1, 2]), L.Rescaling(2.0, (1.0, 2.0))),
        (L.ReLU(6), L.ReLU(6.0)),
        (L.ZeroPadding2D(1), L.ZeroPadding2D([[1, 1], [1, 1]])),
        (L.Cropping2D((1, 2)), L.Cropping2D([(1, 1), (2, 2)])),
        (L.Reshape([2, -1]), L.Reshape((2, -1))),
        (L.Normalization([1, 2], 3), L.Normalization((1.0, 2.0), 3.0)),
        (L.Dropout(0, [None, 1]), L.Dropout(0.0, (None, 1))),
        (L.Dropout(0), L.Dropout(0.0)),
        (L.BatchNormalization(momentum=1, epsilon=1), L.BatchNormalization(1.0, 1.0)),
    ],
)
def test_equal_layers_read_the_same(one, other):
    assert one == other
    assert repr(one) == repr(other)  # the canonical hash is made of it


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L.Input((8, 0, 3)), "a size of the Input's shape is 0; expected a positive int"),
        (lambda: L.Conv2D(0), "filters is 0; expected a positive integer"),
        (lambda: L.Conv2D(2.5), "filters is 2.5"),
        (lambda: L.Conv2D(8, (3, 3, 3)), r"kernel_size is \(3, 3, 3\); expected a positive"),
        (lambda: L.Conv2D(8, (3, -1)), r"kernel_size is \(3, -1\)"),
        (lambda: L.Conv2D(8, 3, strides=0), "strides is 0"),
        (lambda: L.Conv2D(8, 3, padding="causal"), "padding is 'causal'; expected 'same' or"),
        (lambda: L.DepthwiseConv2D(3, depth_multiplier=0), "depth_multiplier is 0"),
        (lambda: L.SeparableConv2D(-3), "filters is -3"),
        (lambda: L.SeparableConv2D(3, depth_multiplier=0), "depth_multiplier is 0"),
        (lambda: L.MaxPooling2D(0), "pool_size is 0"),
        (lambda: L.AveragePooling2D(2, padding="full"), "padding is 'full'"),
        (lambda: L.Activation("swoosh"), "activation is 'swoosh'; expected one of celu, elu"),
        (lambda: L.Dropout(1.0), r"rate is 1.0; expected a fraction in \[0"),
        (lambda: L.Dense(0), "units is 0"),
        (lambda: L.Conv2D(8, groups=3), "filters is 8; expected a multiple of the 3 groups"),
        (lambda: L.Conv2D(8, groups=0), "groups is 0"),
        (lambda: L.ZeroPadding2D(-1), r"padding is -1; expected \(\(top, bottom\), \(left, right"),
        (lambda: L.Cropping2D((1, 2, 3)), r"cropping is \(1, 2, 3\)"),
        (lambda: L.Reshape((-1, -1)), r"target_shape is \(-1, -1\); expected positive integers"),
        (lambda: L.Reshape(()), r"target_shape is \(\)"),
        (
            lambda: L.Conv2D(8, 3, strides=2, dilation_rate=2),
            r"strides is \(2, 2\) and dilation_rate is \(2, 2\); expected one of them to be 1",
        ),
        (
            lambda: L.Conv2DTranspose(8, 3, strides=2, output_padding=2),
            r"output_padding is 2; expected numbers from 0 to less than the strides \(2, 2\)",
        ),
        (lambda: L.GroupNormalization(0), "groups is 0; expected a positive integer"),
        (lambda: L.LayerScale(1.0, 0), "projection_dim is 0"),
        (lambda: L.ReLU(negative_slope=-1), "negative_slope is -1.0; expected a number of at"),
        (lambda: L.Permute((1, 3)), r"dims is \(1, 3\); expected a permutation of 1, 2"),
        (lambda: L.ChannelSlice(2, 2), "start is 2 and stop is 2; expected 0 <= start < stop"),
        (lambda: L.UpSampling2D(2, "bicubic"), "interpolation is 'bicubic'; expected nearest or"),
        (lambda: L.Resizing(0, 3), "height is 0; expected a positive integer"),
        (
            lambda: L.Normalization(1.0),
            "mean is 1.0 and variance is None; expected both or neither",
        ),
        (
            lambda: L.Dropout(0.1, (None, 7)),
            r"noise_shape is \(None, 7\); expected only 1 and None",
        ),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "inputs", "message"),
    [
        (
            L.Rescaling((1, 2)),
            [IMAGE],
            "Rescaling with 2 values for scale got an input",
        ),
        (L.Rescaling(1, (1, 2, 3)), [IMAGE], "with 3 values for offset got an input of 4 channels"),
        (L.Conv2D(8), [(7,)], r"Conv2D got an input of shape \(7,\); expected an image \(height"),
        (
            L.Conv2D(8, 9, padding="valid"),
            [IMAGE],
            r"Conv2D with a window of \(9, 9\) and padding 'valid' got an input of shape"
            r" \(9, 8, 4\); expected an image at least as large",
        ),
        (L.MaxPooling2D(3), [(2, 2, 1)], "MaxPooling2D with a window"),
        (
            L.Conv2D(6, groups=3),
            [IMAGE],
            "with 3 groups got an input of 4 channels; expected a multiple",
        ),
        (L.Cropping2D(4), [IMAGE], r"Cropping2D of .* got an input of shape \(9, 8, 4\); expected"),
        (L.ZeroPadding2D(4), [(7,)], "ZeroPadding2D got an input of shape"),
        (
            L.Reshape((5, -1)),
            [IMAGE],
            r"Reshape to \(5, -1\) got an input of shape \(9, 8, 4\); its 288",
        ),
        (L.Reshape((280,)), [IMAGE], "its 288 values do not fit"),
        (L.Normalization((1, 2), 1), [IMAGE], "Normalization with 2 values for mean got an input"),
        (
            L.Dropout(0.1, (None, 1)),
            [IMAGE],
            "a noise_shape of 2 sizes got an input of 4 axes, the",
        ),
        (
            L.Multiply(),
            [IMAGE, (9, 7, 4)],
            r"Multiply got inputs of shapes \(9, 8, 4\), \(9, 7, 4\); expected equal",
        ),
        (L.Multiply(), [IMAGE, (4,)], "Multiply got inputs"),
        (L.GlobalAveragePooling2D(), [(7,)], "GlobalAveragePooling2D got an input"),
        (L.Add(), [(7,), (6,)], r"Add got inputs of shapes \(7,\), \(6,\); expected equal"),
        (L.GroupNormalization(3), [IMAGE], "with 3 groups got an input of 4 channels; expected"),
        (L.LayerScale(1.0, 3), [IMAGE], "LayerScale of 3 channels got an input of 4"),
        (L.PReLU((4,)), [IMAGE], r"PReLU with shared_axes=\(4,\) got an input of shape"),
        (L.Permute((2, 1)), [IMAGE], r"Permute of \(2, 1\) got .*; expected 2 axes"),
        (L.ChannelSlice(2, 5), [IMAGE], "ChannelSlice up to channel 5 got an input of 4 channels"),
        (L.Subtract(), [(7,), (6,)], "Subtract got inputs of shapes"),
        (L.ConvexSum(), [(9, 8, 4), (9, 8, 1)], "ConvexSum got inputs of shapes"),
        (
            L.Concatenate(),
            [(9, 8, 4), (8, 8, 4)],
            r"Concatenate got inputs of shapes \(9, 8, 4\), \(8, 8, 4\); expected shapes that",
        ),
        (L.Concatenate(), [(9, 8, 4), (4,)], "Concatenate got inputs"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_input_shapes_that_do_not_fit_are_refused(layer, inputs, message):
    with pytest.raises(ShapeError, match=message):
        layer.output_shape(*inputs)


def test_base_class_is_abstract():
    with pytest.raises(NotImplementedError, match="Layer is abstract"):
        Layer().output_shape((7,))


def test_names_of_activations_are_unique_and_plain():
    assert len(set(L.ACTIVATIONS)) == len(L.ACTIVATIONS)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in L.ACTIVATIONS)
