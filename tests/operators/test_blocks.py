"""Where blocks are, and where skips may start."""

import pytest
from graphs import convolutions, finished, small, stack

from lemonade_tf.architecture import layers as L
from lemonade_tf.operators.blocks import (
    block_at,
    ends_block_or_skip,
    is_activation,
    is_projection,
)


@pytest.mark.parametrize(
    ("layer", "activation", "end"),
    [
        (L.ReLU(), True, True),
        (L.Activation("silu"), True, True),
        (L.Activation("linear"), False, False),
        (L.Activation("softmax"), False, False),
        (L.Concatenate(), False, True),
        (L.ConvexSum(), False, True),
        (L.Add(), False, False),
        (L.Conv2D(3), False, False),
    ],
    ids=str,
)
def test_ends_of_blocks_and_skips(layer, activation, end):
    assert is_activation(layer) == activation
    assert ends_block_or_skip(layer) == end


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (L.Conv2D(3, 1), True),
        (L.Conv2D(3, (1, 3)), False),
        (L.Conv2D(3), False),
        (L.SeparableConv2D(3, 1), False),
        (L.Dense(3), False),
    ],
    ids=str,
)
def test_projections_are_1x1_convolutions(layer, expected):
    assert is_projection(layer) == expected


def test_a_block_starts_at_its_convolution():
    graph = small()
    assert block_at(graph, "conv_2") == ("conv_2", "bn_2", "relu_2")
    assert [name for name in graph if block_at(graph, name)] == ["conv_1", "conv_2", "conv_3"]


def test_batch_norm_and_activation_after_a_sum_are_no_block():
    graph = convolutions(3, 3)
    graph.add("sum", L.Add(), ["a", "b"])
    finished(graph, stack(graph, "sum", L.BatchNormalization(), L.ReLU(), stem="then"))
    assert block_at(graph, "sum") is None


@pytest.mark.parametrize("output", ["a", "then_batchnormalization"])
def test_a_convolution_or_batch_norm_that_is_the_output_is_no_block(output):
    graph = convolutions(3)
    stack(graph, "a", L.BatchNormalization(), L.ReLU(), stem="then")
    graph.output = "then_relu"
    assert block_at(graph, "a") == ("a", "then_batchnormalization", "then_relu")
    graph.output = output
    assert block_at(graph, "a") is None
