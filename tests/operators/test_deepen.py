"""Insertion of blocks: where it applies, and that it is the identity there."""

import re

import numpy as np
import pytest
from graphs import GRAPHS, convolutions, finished, images, new_weights, small
from reference import forward

from lemonade_tf.architecture import layers as L
from lemonade_tf.operators import InsertConvolution, MeasureStatistics
from lemonade_tf.operators.deepen import InsertSite, non_negative
from lemonade_tf.operators.initial import initial_weights, output_statistics

INSERT = InsertConvolution()


def _insert(graph, node, size=3):
    return INSERT.apply(graph, InsertSite(node, size), rng=np.random.default_rng(0))


# --- Where ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "proven"),
    [
        (L.ReLU(), True),
        (L.ReLU(6.0), True),
        (L.Activation("relu"), True),
        (L.Activation("sigmoid"), True),
        (L.Activation("softmax"), True),
        (L.Activation("tanh"), False),
        (L.Activation("silu"), False),
        (L.Activation("hard_silu"), False),
        (L.Activation("hard_sigmoid"), True),
        (L.Activation("linear"), False),
        (L.BatchNormalization(), False),
        (L.MaxPooling2D(), False),
        (L.Dropout(0.1), False),
        (L.Rescaling(1.0), False),
        (L.Conv2D(3), False),
    ],
    ids=str,
)
def test_non_negative_after_a_convolution(layer, proven):
    graph = convolutions(3)
    finished(graph, graph.add("it", layer, ["a"]))
    assert ("it" in non_negative(graph)) == proven
    assert (InsertSite("it", 3) in INSERT.candidates(graph)) == proven


@pytest.mark.parametrize(
    ("layer", "proven"),
    [
        (L.MaxPooling2D(), True),
        (L.AveragePooling2D(), True),
        (L.Dropout(0.1), True),
        (L.Add(), True),
        (L.Concatenate(), True),
        (L.Multiply(), True),
        (L.ZeroPadding2D(), True),
        (L.Cropping2D(1), True),
        (L.Reshape((3, 6, 6)), True),
        (L.Rescaling(0.5, 3.0), True),
        (L.Rescaling((0.5, -0.1, 1.0)), False),
        (L.Normalization(), False),
        (L.Activation("silu"), False),
        (L.ConvexSum(), True),
        (L.BatchNormalization(), False),
        (L.Rescaling(1.0, -0.5), False),
        (L.DepthwiseConv2D(), False),
        (L.SeparableConv2D(3), False),
    ],
    ids=str,
)
def test_non_negative_after_relus(layer, proven):
    graph = convolutions(3, 3)
    relus = [graph.add(f"relu_{n}", L.ReLU(), [n]) for n in "ab"]
    finished(graph, graph.add("it", layer, relus[: 2 if layer.num_inputs != 1 else 1]))
    assert ("it" in non_negative(graph)) == proven
    assert (InsertSite("it", 5) in INSERT.candidates(graph)) == proven


@pytest.mark.parametrize("share", [0.0, 1.0, -1e-7, 1.0000001])
def test_a_convex_sum_is_non_negative_unless_its_lambda_is_outside_of_0_to_1(share):
    graph = convolutions(3, 3)
    relus = [graph.add(f"relu_{n}", L.ReLU(), [n]) for n in "ab"]
    finished(graph, graph.add("it", L.ConvexSum(), relus))
    graph = initial_weights(graph, rng=np.random.default_rng(0))
    assert "it" in non_negative(graph)
    graph.set_weights("it", {"lambda": np.float32(share)})  # of a file of an earlier version
    assert ("it" in non_negative(graph)) == (0 <= share <= 1)


def test_a_concatenation_with_a_possibly_negative_input_is_not_proven():
    graph = convolutions(3, 3)
    graph.add("relu", L.ReLU(), ["a"])
    finished(graph, graph.add("both", L.Concatenate(), ["relu", "b"]))
    assert "both" not in non_negative(graph)


@pytest.mark.parametrize(
    ("side", "sizes"),
    [
        ((1, 1), [1]),
        ((2, 2), [1, 3]),
        ((3, 3), [1, 3, 5]),
        ((8, 8), [1, 3, 5]),
        ((1, 2), [1]),
        ((8, 1), [1]),
        ((8, 2), [1, 3]),
        ((2, 8), [1, 3]),
        ((3, 8), [1, 3, 5]),
    ],
)
def test_kernels_with_weights_that_never_meet_a_pixel_do_not_apply(side, sizes):
    graph = convolutions(3, shape=(*side, 2))
    finished(graph, graph.add("relu", L.ReLU(), ["a"]))
    operator = InsertConvolution(kernel_sizes=(1, 3, 5))
    assert [site.kernel_size for site in operator.candidates(graph)] == sizes
    for size in (1, 3, 5):
        offsets = range(-(size // 2), size // 2 + 1)
        met = [any(0 <= y + o < n for y in range(n)) for n in side for o in offsets]
        assert all(met) == (size in sizes)


def test_refusals():
    graph = convolutions(3, shape=(2, 2, 2))
    graph.add("relu", L.ReLU(), ["a"])
    graph.add("pool", L.GlobalAveragePooling2D(), ["relu"])
    graph.output = graph.add("dense", L.Dense(2), ["pool"])
    for node, size, reason in [
        ("a", 3, r"the output of 'a' \(Conv2D\) may be negative.* can be inserted is 'relu'"),
        (
            "relu",
            5,
            "a kernel of size 5 is too large for the 2x2 images of 'relu': .*; expected at most 3",
        ),
        ("relu", 7, "the kernel size is 7; expected one of 3, 5"),
        ("pool", 3, r"'pool' outputs shape \(3,\), not images"),
        ("rely", 3, "there is no layer 'rely'. Similar names: relu"),
    ]:
        assert re.search(reason, INSERT.refusal(graph, InsertSite(node, size)))
    assert INSERT.refusal(graph, InsertSite("relu", 3)) is None


def test_no_block_is_inserted_after_the_output():
    graph = convolutions(3)
    graph.add("first", L.ReLU(), ["a"])
    graph.output = graph.add("last", L.ReLU(), [graph.add("conv", L.Conv2D(3), ["first"])])
    assert {site.node for site in INSERT.candidates(graph)} == {"first"}
    assert INSERT.refusal(graph, InsertSite("last", 3)) == "'last' is the output"


def test_sites_of_a_small_network():
    sites = INSERT.candidates(small())
    assert sites == tuple(
        InsertSite(name, size)
        for name in ("relu_1", "pool_1", "relu_2", "pool_2", "relu_3")
        for size in (3, 5)
        if (name, size) not in {("pool_2", 5), ("relu_3", 5)}  # of 2x2
    )


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_proven_nodes_are_non_negative(make):
    graph = make()
    values = forward(graph, images(graph) - 128.0)
    assert all((values[name] >= 0).all() for name in non_negative(graph))


# --- What ----------------------------------------------------------------------------------------


def test_the_block():
    graph = small()
    change = _insert(graph, "pool_1", 5)
    child = change.graph
    conv, bn, relu = change.affected
    assert change.repairs == (MeasureStatistics(bn, identity=True),)
    assert dict(change.sources) == {}
    assert child[conv].layer == L.Conv2D(6, 5)
    assert isinstance(child[bn].layer, L.BatchNormalization)
    assert child[relu].layer == L.ReLU()
    assert [child[name].inputs for name in (conv, bn, relu, "conv_2")] == [
        ("pool_1",),
        (conv,),
        (bn,),
        (relu,),
    ]
    assert len(child) == len(graph) + 3
    kernel = child[conv].weights["kernel"]
    np.testing.assert_array_equal(kernel[2, 2], np.eye(6))
    assert np.abs(kernel).sum() == 6


def test_all_consumers_take_the_block_as_input():
    graph = convolutions(3)
    graph.add("relu", L.ReLU(), ["a"])
    finished(graph, graph.add("sum", L.Add(), ["relu", graph.add("tanh", L.ReLU(), ["relu"])]))
    child = _insert(new_weights(graph), "relu").graph
    assert child.consumers("relu") == ("conv_1",)
    assert child.consumers("relu_1") == ("tanh", "sum")


def test_the_block_is_the_identity():
    graph = small()
    child = _insert(graph, "relu_2").graph
    values = forward(child, images(graph))
    conv, bn, relu = _insert(graph, "relu_2").affected
    np.testing.assert_array_equal(values[conv], values["relu_2"])
    np.testing.assert_allclose(values[bn], values["relu_2"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(values[relu], values["relu_2"], rtol=0, atol=1e-10)


def test_the_batch_norm_starts_with_the_estimated_statistics_of_its_input():
    graph = small()
    change = _insert(graph, "pool_1")
    _, bn, _ = change.affected
    mean, variance = output_statistics(graph, "pool_1")
    assert (mean > 0).all()  # of a rectified normal distribution, not the default (0, 1)
    np.testing.assert_array_equal(change.graph[bn].weights["moving_mean"], mean)
    np.testing.assert_allclose(
        change.graph[bn].weights["moving_variance"], variance, rtol=1e-3, atol=1e-5
    )
