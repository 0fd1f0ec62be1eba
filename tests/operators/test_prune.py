"""Pruning: how many filters are removed, and which stay."""

import numpy as np
import pytest
from graphs import convolutions, finished, images, new_weights, small, tied
from reference import relative_difference

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as L
from lemonade_tf.operators import FitOutputs, MeasureStatistics, PruneFilters
from lemonade_tf.operators.prune import PruneSite, num_removed

PRUNE = PruneFilters()


def _prune(graph, node, fraction="1/2"):
    return PRUNE.apply(graph, PruneSite(node, fraction), rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("size", "half", "quarter"),
    [(1, 0, 0), (2, 1, 0), (3, 1, 0), (4, 2, 1), (5, 2, 1), (7, 3, 1), (14, 7, 3), (46, 23, 11)],
)
def test_num_removed_rounds_down(size, half, quarter):
    assert num_removed(size, "1/2") == half
    assert num_removed(size, "1/4") == quarter
    assert num_removed(size, "1") == size - 1  # one stays


@pytest.mark.parametrize(
    ("size", "half", "quarter"),
    [(6, 6, 6), (8, 8, 8), (9, 8, 8), (14, 8, 8), (24, 8, 16), (46, 16, 32), (64, 32, 48)],
)
def test_a_multiple_of_filters_stays(size, half, quarter):
    assert size - num_removed(size, "1/2", 8) == half
    assert size - num_removed(size, "1/4", 8) == quarter


def test_sites_that_leave_a_multiple():
    graph, operator = small(widths=(8, 12, 24)), PRUNE.with_width_multiple(8)
    assert operator.candidates(graph) == (
        PruneSite("conv_2", "1/2", 8),
        PruneSite("conv_2", "1/4", 8),
        PruneSite("conv_3", "1/2", 8),
        PruneSite("conv_3", "1/4", 8),
    )
    assert operator.refusal(graph, PruneSite("conv_1", "1/2", 8)) == (
        "1/2 of the filters of 'conv_1' rounds to none if a multiple of 8 must stay; they can be"
        " removed from groups of 8"
    )
    change = operator.apply(graph, PruneSite("conv_3", "1/4", 8), rng=np.random.default_rng(0))
    assert change.graph["conv_3"].layer.filters == 16


def test_other_fractions():
    fifth = PruneFilters(fractions=("1/5",))
    assert [s.node for s in fifth.candidates(small(widths=(4, 5, 10)))] == ["conv_2", "conv_3"]
    site = PruneSite("conv_3", "1/5")
    change = fifth.apply(small(widths=(4, 5, 10)), site, rng=np.random.default_rng(0))
    assert change.graph["conv_3"].layer.filters == 8


def test_refusals():
    graph = small(widths=(3, 8, 1))
    for node, fraction, reason in [
        (
            "conv_3",
            "1/2",
            "1/2 of the filters of 'conv_3' rounds to none; they can be removed from groups of 1",
        ),
        ("conv_1", "1/3", "the fraction is 1/3; expected one of 1/2, 1/4"),
        ("bn_1", "1/2", "'bn_1' is a BatchNormalization, not a convolution or dense layer"),
        ("bn_1", "1/2", "its channels come from conv_1"),
        ("konv", "1/2", "there is no layer 'konv'"),
    ]:
        assert reason in PRUNE.refusal(graph, PruneSite(node, fraction))


def test_a_tied_group_that_is_fixed_is_refused():
    graph = convolutions(2, 2)
    finished(graph, graph.add("sum", L.Add(), ["a", "b", "image"]))
    reason = PRUNE.refusal(graph, PruneSite("a", "1/2"))
    assert "'a' has a group of channels that cannot change: " in reason
    assert "the input 'image'" in reason
    assert "(tied to it: b)" in reason


def test_sites():
    assert PRUNE.candidates(small(widths=(3, 8, 1))) == (
        PruneSite("conv_1", "1/2"),
        PruneSite("conv_2", "1/2"),
        PruneSite("conv_2", "1/4"),
    )


def _ranked(graph, name, norms):
    """Give the filters of a convolution these sums of absolute weights."""
    weights = dict(graph[name].weights)
    key = "pointwise_kernel" if "pointwise_kernel" in weights else "kernel"
    kernel = weights[key] / np.abs(weights[key]).reshape(-1, len(norms)).sum(axis=0)
    graph.set_weights(name, {**weights, key: (kernel * norms).astype(np.float32)})


@pytest.mark.parametrize(
    ("node", "norms", "fraction", "kept"),
    [
        ("conv_1", [3, 1, 5, 2, 6, 4], "1/2", [2, 4, 5]),
        ("conv_1", [3, 1, 5, 2, 6, 4], "1/4", [0, 2, 3, 4, 5]),
        ("conv_2", [8, 7, 1, 2, 3, 6, 5, 4], "1/2", [0, 1, 5, 6]),
        ("conv_2", [8, 7, 1, 2, 3, 6, 5, 4], "1/4", [0, 1, 4, 5, 6, 7]),
    ],
)
def test_the_largest_filters_stay_in_their_order(node, norms, fraction, kept):
    graph = small()
    _ranked(graph, node, norms)
    child = _prune(graph, node, fraction).graph
    key = "kernel" if node == "conv_1" else "pointwise_kernel"
    np.testing.assert_array_equal(child[node].weights[key], graph[node].weights[key][..., kept])
    for name, value in graph[f"bn_{node[-1]}"].weights.items():
        np.testing.assert_array_equal(child[f"bn_{node[-1]}"].weights[name], value[kept])
    consumer = "conv_2" if node == "conv_1" else "conv_3"
    key = "pointwise_kernel" if consumer == "conv_2" else "kernel"
    np.testing.assert_array_equal(
        child[consumer].weights[key], graph[consumer].weights[key][:, :, kept]
    )


def test_among_equal_filters_the_first_stay():
    graph = small()
    kernel = np.ones_like(graph["conv_1"].weights["kernel"])
    kernel[..., 1] = -2
    kernel[0, 0, 0, ::2] = np.arange(3) + 10
    graph.set_weights("conv_1", {"kernel": kernel * [1, 1, 1, 1, 1, 1]})
    child = _prune(graph, "conv_1").graph
    np.testing.assert_array_equal(child["conv_1"].weights["kernel"], kernel[..., [1, 2, 4]])
    graph.set_weights("conv_1", {"kernel": np.ones_like(kernel)})
    bn = _prune(graph, "conv_1").graph["bn_1"].weights["gamma"]
    np.testing.assert_array_equal(bn, graph["bn_1"].weights["gamma"][:3])


def test_tied_filters_are_ranked_by_the_sum_of_their_norms():
    graph = convolutions(4, 2, 2)
    graph.add("both", L.Concatenate(), ["b", "c"])
    graph = new_weights(finished(graph, graph.add("sum", L.Add(), ["a", "both"])))
    _ranked(graph, "a", [1, 2, 9, 1])
    _ranked(graph, "b", [5, 3])  # with a: 6, 5
    _ranked(graph, "c", [1, 8])  # with a: 10, 9
    child = _prune(graph, "a").graph
    check(child)
    kernels = {name: graph[name].weights["kernel"] for name in "abc"}
    for name, kept in {"a": [0, 2], "b": [0], "c": [0]}.items():
        np.testing.assert_array_equal(child[name].weights["kernel"], kernels[name][..., kept])
    one = _prune(graph, "b").graph
    assert one["c"] == graph["c"]
    assert [one[name].layer.filters for name in "ab"] == [3, 1]


def test_half_of_each_group_is_removed():
    child = _prune(tied(), "trunk_conv").graph
    filters = {n: child[f"{n}_conv"].layer.filters for n in ("trunk", "left", "right", "deep")}
    assert filters == {"trunk": 5, "left": 2, "right": 3, "deep": 5}


def test_removing_silent_filters_keeps_the_function():
    graph = small()
    norms = [4, 1e-12, 3, 1e-12, 2, 1e-12]
    _ranked(graph, "conv_1", norms)
    bn = {key: value.copy() for key, value in graph["bn_1"].weights.items()}
    bn["beta"][1::2] = bn["moving_mean"][1::2] = 0
    graph.set_weights("bn_1", bn)
    child = _prune(graph, "conv_1").graph
    assert relative_difference(graph, child, images(graph)) < 1e-9


def test_a_graph_of_shapes_keeps_the_same_number():
    shapes = small().copy(weights=False)
    child = _prune(shapes, "conv_2", "1/4").graph
    assert child["conv_2"].layer.filters == 6


def test_affected_are_changed_nodes_and_the_batch_norms_after_them():
    change = _prune(small(), "conv_1")
    assert change.affected == ("conv_1", "bn_1", "conv_2", "bn_2")
    assert change.repairs == (FitOutputs("conv_2"), MeasureStatistics("bn_2"))
    change = _prune(small(), "conv_3")
    assert change.affected == ("conv_3", "bn_3", "logits")
    assert change.repairs == (FitOutputs("logits"),)
