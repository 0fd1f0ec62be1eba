"""Counts by hand, and those of MobileNets as in Keras and in their papers."""

import pytest
from graphs import GRAPHS, decoding, every_layer, finished, stack

from lemonade_tf.architecture import LAYERS, Graph, check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.cost import (
    count_multiply_adds,
    count_parameters,
    layer_multiply_adds,
    layer_parameters,
)


@pytest.mark.parametrize(
    ("layer", "image", "parameters", "multiply_adds"),
    [
        (L.Conv2D(6, 3), (8, 8, 4), 9 * 4 * 6, 64 * 9 * 4 * 6),
        (L.Conv2D(6, 3, use_bias=True), (8, 8, 4), 9 * 4 * 6 + 6, 64 * 9 * 4 * 6),
        (L.Conv2D(6, (3, 5), strides=2), (9, 8, 4), 15 * 4 * 6, 20 * 15 * 4 * 6),
        (L.Conv2D(6, 3, padding="valid"), (9, 8, 4), 9 * 4 * 6, 42 * 9 * 4 * 6),
        (L.Conv2D(6, 3, groups=2), (8, 8, 4), 9 * 2 * 6, 64 * 9 * 2 * 6),
        (L.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 4), 9 * 8, 64 * 9 * 8),
        (L.DepthwiseConv2D(3, 2, use_bias=True), (9, 9, 4), 9 * 4 + 4, 25 * 9 * 4),
        (L.SeparableConv2D(6, 3), (8, 8, 4), 9 * 4 + 4 * 6, 64 * (9 * 4 + 4 * 6)),
        (
            L.SeparableConv2D(6, 5, strides=2, depth_multiplier=3, use_bias=True),
            (9, 9, 4),
            25 * 12 + 12 * 6 + 6,
            25 * (25 * 12 + 12 * 6),
        ),
        (L.Dense(5), (7,), 40, 35),
        (L.Dense(5, use_bias=False), (3, 2, 7), 35, 6 * 35),
        (L.BatchNormalization(), (8, 8, 4), 16, 0),
        (L.BatchNormalization(scale=False, center=False), (8, 8, 4), 8, 0),
        (L.MaxPooling2D(), (8, 8, 4), 0, 0),
        (L.Rescaling(2.0), (8, 8, 4), 0, 0),
        (L.Normalization(), (8, 8, 4), 9, 0),
        (L.ZeroPadding2D(), (8, 8, 4), 0, 0),
    ],
    ids=str,
)
def test_one_layer(layer, image, parameters, multiply_adds):
    assert layer_parameters(layer, image) == parameters
    assert layer_multiply_adds(layer, layer.output_shape(image), image) == multiply_adds


def test_lambda_is_not_a_parameter():
    assert layer_parameters(L.ConvexSum(), (8, 8, 4), (8, 8, 4)) == 0


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_parameters_are_the_sizes_of_the_weights(make):
    graph = make()
    sizes = [
        value.size for _, node in graph.items() for k, value in node.weights.items() if k[0] != "l"
    ]
    assert count_parameters(graph) == sum(sizes)
    assert count_parameters(graph.copy(weights=False)) == sum(sizes)


def test_every_kind_of_layer_can_be_counted():
    graph = every_layer()
    both = (*graph.items(), *decoding(stock=False).items())
    assert {type(node.layer) for _, node in both} == set(LAYERS)
    # conv, depthwise, separable, strided; hidden, logits
    images = 72 * 15 * 2 * 6 + 72 * 9 * 12 + 20 * (9 * 24 + 24 * 12) + 4 * 4 * 24 * 5
    assert count_multiply_adds(graph) == images + 44 * 7 + 7 * 3


def test_counts_follow_an_edit():
    graph = every_layer()
    before = count_parameters(graph), count_multiply_adds(graph)
    graph.set_layer("hidden", L.Dense(8, use_bias=False))
    assert count_parameters(graph) == before[0] + 44 + 3
    assert count_multiply_adds(graph) == before[1] + 44 + 3


# --- MobileNets ----------------------------------------------------------------------------------

RELU6 = L.ReLU(6.0)
NORM = L.BatchNormalization(momentum=0.999)


def mobilenet(side=224, num_classes=1000, alpha=1.0):
    """Return MobileNet (Howard et al., 2017) as in keras.applications.

    Its convolutions of stride 2 pad by hand and are 'valid'; for even sides that gives the
    resolutions of 'same'.
    """
    graph = Graph()
    at = graph.add("image", L.Input((side, side, 3)))
    at = stack(graph, at, L.Conv2D(int(32 * alpha), 3, strides=2), NORM, RELU6, stem="first")
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    for number, (filters, stride) in enumerate([*blocks, (1024, 2), (1024, 1)]):
        depthwise = L.DepthwiseConv2D(3, strides=stride)
        at = stack(graph, at, depthwise, NORM, RELU6, stem=f"depthwise_{number}")
        pointwise = L.Conv2D(int(filters * alpha), 1)
        at = stack(graph, at, pointwise, NORM, RELU6, stem=f"pointwise_{number}")
    return finished(graph, at, num_classes=num_classes)


def mobilenet_v2(side=224, num_classes=1000):
    """Return MobileNetV2 (Sandler et al., 2018) as in keras.applications."""
    graph = Graph()
    at = graph.add("image", L.Input((side, side, 3)))
    at = stack(graph, at, L.Conv2D(32, 3, strides=2), NORM, RELU6, stem="first")
    settings = [
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ]
    width, number = 32, 0
    for expansion, filters, repeats, first_stride in settings:
        for repeat in range(repeats):
            before, stride, number = at, first_stride if repeat == 0 else 1, number + 1
            if expansion > 1:
                expand = L.Conv2D(expansion * width, 1)
                at = stack(graph, at, expand, NORM, RELU6, stem=f"expand_{number}")
            depthwise = L.DepthwiseConv2D(3, strides=stride)
            at = stack(graph, at, depthwise, NORM, RELU6, stem=f"depthwise_{number}")
            at = stack(graph, at, L.Conv2D(filters, 1), NORM, stem=f"project_{number}")
            if stride == 1 and width == filters:
                at = graph.add(f"sum_{number}", L.Add(), [before, at])
            width = filters
    at = stack(graph, at, L.Conv2D(1280, 1), NORM, RELU6, stem="last")
    return finished(graph, at, num_classes=num_classes)


@pytest.mark.parametrize(
    ("make", "parameters", "multiply_adds"),
    [(mobilenet, 4_253_864, 568_740_352), (mobilenet_v2, 3_538_984, 300_774_272)],
)
def test_mobilenets_at_224_with_1000_classes(make, parameters, multiply_adds):
    graph = make()
    check(graph)
    assert count_parameters(graph) == parameters
    assert count_multiply_adds(graph) == multiply_adds


@pytest.mark.parametrize(
    ("alpha", "parameters"), [(0.1, 40_911), (0.25, 221_114), (0.5, 834_666), (1.0, 3_239_114)]
)
def test_mobilenets_of_the_papers_table(alpha, parameters):
    assert count_parameters(mobilenet(32, 10, alpha)) == parameters
