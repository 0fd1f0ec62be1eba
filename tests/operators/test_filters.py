"""Which convolutions can change their filters, and why others cannot."""

import pytest
from graphs import convolutions, every_layer, finished, small, tied

from lemonade_tf.architecture import layers as L
from lemonade_tf.operators.filters import all_filters, filters_refusal


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (small, {"conv_1", "conv_2", "conv_3"}),
        (tied, {"trunk_conv", "left_conv", "right_conv", "deep_conv", "small_conv", "hidden"}),
        # A sum with channels of a depth multiplier fixes the convolutions before it.
        (every_layer, {"strided", "hidden"}),
    ],
)
def test_filters_that_can_change(make, expected):
    graph = make()
    assert {n for n, filters in all_filters(graph).items() if filters.refusal is None} == expected
    assert {n for n in graph if filters_refusal(graph, n) is None} == expected


def test_sizes_are_those_of_the_groups_of_channels():
    filters = all_filters(tied())
    assert list(filters["trunk_conv"].sizes.values()) == [3, 5]
    assert list(filters["left_conv"].sizes.values()) == [3]
    assert filters["trunk_conv"].sizes == filters["deep_conv"].sizes


def test_a_grouped_convolution_has_one_group_for_all_blocks():
    graph = convolutions(4)
    finished(graph, graph.add("grouped", L.Conv2D(6, 3, groups=2), ["a"]))
    assert list(all_filters(graph)["grouped"].sizes.values()) == [3]


def test_other_layers_are_refused_with_the_origin_of_their_channels():
    graph = small()
    assert filters_refusal(graph, "logits") == (
        "'logits' has a group of channels that cannot change: 'softmax' is a softmax over all"
        " channels"
    )
    assert filters_refusal(graph, "relu_2") == (
        "'relu_2' is a ReLU, not a convolution or dense layer; its channels come from conv_2"
    )
