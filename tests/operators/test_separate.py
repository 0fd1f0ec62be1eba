"""Replacement of convolutions by separable ones."""

import numpy as np
import pytest
from graphs import convolutions, every_layer, finished, images, new_weights, small
from reference import relative_difference

from lemonade_tf.architecture import Graph, check
from lemonade_tf.architecture import layers as L
from lemonade_tf.operators import FitOutputs, MeasureStatistics, SeparateConvolution
from lemonade_tf.operators.separate import SeparateSite, separable

SEPARATE = SeparateConvolution()


def _separate(graph, node):
    return SEPARATE.apply(graph, SeparateSite(node), rng=np.random.default_rng(0))


def test_refusals():
    graph = convolutions(8)
    graph.add("point", L.Conv2D(8, 1), ["a"])
    finished(graph, "point")
    assert SEPARATE.refusal(graph, SeparateSite("point")) == (
        "'point' has 64 parameters; a separable convolution in its place would have 72"
    )
    assert "'head_dense' is a Dense, not a Conv2D" in SEPARATE.refusal(
        graph, SeparateSite("head_dense")
    )


def test_a_grouped_convolution_of_rank_one_is_separated_exactly():
    graph = convolutions(4)
    graph.add("grouped", L.Conv2D(4, 3, groups=2, use_bias=True), ["a"])
    graph = new_weights(finished(graph, "grouped"))
    weights = dict(graph["grouped"].weights)
    window = np.random.default_rng(0).normal(size=(3, 3, 2, 1))
    weights["kernel"] = (window * weights["kernel"][1, 1]).astype(np.float32)
    graph.set_weights("grouped", weights)
    graph = Graph.from_nodes(dict(graph.items()), graph.output)
    change = SeparateConvolution().apply(
        graph, SeparateSite("grouped"), rng=np.random.default_rng(0)
    )
    assert relative_difference(graph, change.graph, images(graph)) < 1e-5


def test_sites():
    assert [site.node for site in SEPARATE.candidates(small())] == ["conv_1", "conv_3"]
    assert [site.node for site in SEPARATE.candidates(every_layer())] == ["conv", "strided"]


@pytest.mark.parametrize(
    ("layer", "listed"),
    [
        (L.Conv2D(8, 3), True),
        (L.Conv2D(8, 1), False),  # 16 parameters; separable 2 + 16
        (L.Conv2D(1, 3), False),  # 18; 18 + 2
        (L.Conv2D(2, (1, 2)), False),  # 8; 4 + 4
        (L.Conv2D(3, (1, 2)), True),  # 12; 4 + 6
        (L.SeparableConv2D(8, 3), False),
        (L.DepthwiseConv2D(3), False),
    ],
    ids=str,
)
def test_it_applies_if_it_lowers_the_number_of_parameters(layer, listed):
    graph = convolutions(2)
    finished(graph, graph.add("it", layer, ["a"]))
    assert (SeparateSite("it") in SEPARATE.candidates(graph)) == listed


def test_separable_keeps_the_arguments():
    layer = L.Conv2D(6, (3, 5), strides=2, padding="valid", use_bias=True)
    expected = L.SeparableConv2D(6, (3, 5), strides=2, padding="valid", use_bias=True)
    assert separable(layer) == expected


def test_a_kernel_of_rank_one_is_separated_exactly():
    graph = small()
    rng = np.random.default_rng(3)
    depthwise, pointwise = rng.normal(size=(3, 3, 8, 1)), rng.normal(size=(1, 1, 8, 10))
    graph.set_weights("conv_3", {"kernel": (depthwise * pointwise).astype(np.float32)})
    change = _separate(graph, "conv_3")
    check(change.graph)
    assert change.graph["conv_3"].layer == L.SeparableConv2D(10, 3)
    assert relative_difference(graph, change.graph, images(graph)) < 1e-5


def test_a_bias_is_kept():
    graph = new_weights(finished(convolutions(2), "a"))
    graph.set_layer("a", L.Conv2D(4, 3, use_bias=True))
    graph = new_weights(graph.copy(weights=False))
    child = _separate(graph, "a").graph
    check(child)
    np.testing.assert_array_equal(child["a"].weights["bias"], graph["a"].weights["bias"])


def test_affected_are_the_convolution_and_its_batch_norm():
    change = _separate(small(), "conv_3")
    assert change.affected == ("conv_3", "bn_3")
    assert change.repairs == (FitOutputs("conv_3"), MeasureStatistics("bn_3"))
    change = _separate(every_layer(), "strided")
    assert change.affected == ("strided",)
    assert change.repairs == (FitOutputs("strided"),)
