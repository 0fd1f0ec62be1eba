"""Wider convolutions: new filters, consumers with zero weights, and copies that diverge."""

import numpy as np
import pytest
from graphs import convolutions, every_layer, finished, images, new_weights, small, stack, tied
from reference import forward, relative_difference

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as L
from lemonade_tf.operators import MeasureStatistics, WidenConvolution
from lemonade_tf.operators.prune import num_removed
from lemonade_tf.operators.widen import WidenSite, num_added

WIDEN, SPLIT = WidenConvolution(), WidenConvolution(split=True, factors=(2, 4))


def _widen(graph, node, factor=2, operator=WIDEN):
    return operator.apply(graph, WidenSite(node, factor), rng=np.random.default_rng(0))


def test_sites_are_convolutions_whose_filters_can_change():
    assert WIDEN.candidates(small()) == tuple(
        WidenSite(f"conv_{number}", factor) for number in (1, 2, 3) for factor in (4 / 3, 2)
    )


def test_factors_are_an_argument():
    graph = small()
    assert {s.factor for s in SPLIT.candidates(graph)} == {2, 4}
    assert {s.factor for s in WIDEN.candidates(graph)} == {
        4 / 3,
        2,
    }  # candidates are cached per operator


def _grouped(filters, groups):
    graph = convolutions(8, shape=(5, 5, 2))
    graph.add("it", L.Conv2D(filters, 3, groups=groups), ["a"])
    at = stack(graph, "it", L.ReLU(), L.Conv2D(3), stem="then")
    return new_weights(finished(graph, at))


@pytest.mark.parametrize(
    ("filters", "groups", "factor", "wider"),
    [
        (8, 8, 1.25, None),
        (8, 8, 4 / 3, None),
        (8, 8, 2, 16),
        (8, 4, 1.25, None),
        (8, 4, 4 / 3, 12),
        (8, 1, 1.25, 10),
        (8, 1, 1.05, None),
        (4, 1, 4 / 3, 5),
    ],
)
def test_a_factor_applies_if_it_adds_filters(filters, groups, factor, wider):
    graph, operator = _grouped(filters, groups), WidenConvolution(factors=(factor,))
    site = WidenSite("it", factor)
    assert (site in operator.candidates(graph)) == (wider is not None)
    if wider is not None:
        assert _widen(graph, "it", factor, operator).graph["it"].layer.filters == wider
        return
    reason = (
        f"{factor:g} times the 8 filters of 'it' rounds to 8; they grow in steps of {groups}, so"
        f" the next possible number is {8 + groups}"
    )
    assert operator.refusal(graph, site) == reason


def test_the_factors_undo_pruning():
    graph = small(widths=(12, 16, 8))
    for name, factor in (("conv_1", 2), ("conv_2", 4 / 3)):
        wider = _widen(graph, name, factor).graph[name].layer.filters
        fraction = "1/2" if factor == 2 else "1/4"
        assert wider - num_removed(wider, fraction) == graph[name].layer.filters


@pytest.mark.parametrize("factor", [4 / 3, 2])
def test_new_filters_are_random_and_their_consumers_zero(factor):
    graph = small()
    change = _widen(graph, "conv_1", factor)
    child = change.graph
    assert child["conv_1"].layer == L.Conv2D(round(6 * factor), 3)
    kernel, old = child["conv_1"].weights["kernel"], graph["conv_1"].weights["kernel"]
    np.testing.assert_array_equal(kernel[..., :6], old)
    assert (kernel[..., 6:] != 0).all()
    for key, fresh in {"gamma": 1, "beta": 0, "moving_mean": 0, "moving_variance": 1}.items():
        values = child["bn_1"].weights[key]
        np.testing.assert_array_equal(values[:6], graph["bn_1"].weights[key])
        assert (values[6:] == fresh).all()
    consumer = child["conv_2"].weights
    assert (consumer["pointwise_kernel"][:, :, 6:] == 0).all()
    assert (consumer["depthwise_kernel"][1, 1, 6:] == 1).all()  # one side only is zero
    assert change.affected == ("conv_1", "bn_1", "conv_2")
    assert change.repairs == (MeasureStatistics("bn_1", tuple(range(6, round(6 * factor)))),)


def test_a_consumer_after_pooling_gets_zeros():
    child = _widen(small(), "conv_3").graph
    kernel = child["logits"].weights["kernel"]
    assert (kernel[:10] != 0).all()
    assert (kernel[10:] == 0).all()


@pytest.mark.parametrize(
    ("size", "factor", "added"),
    [(3, 4 / 3, 1), (1, 4 / 3, 1), (2, 1.2, 1), (10, 4 / 3, 3), (5, 2, 5)],
)
def test_num_added_rounds_to_at_least_one(size, factor, added):
    assert num_added(size, factor) == added


@pytest.mark.parametrize(
    ("size", "factor", "wider"),
    [(14, 4 / 3, 24), (14, 2, 32), (24, 4 / 3, 32), (24, 2, 48), (5, 4 / 3, 8), (8, 1.01, 16)],
)
def test_filters_grow_to_the_next_multiple(size, factor, wider):
    assert size + num_added(size, factor, 8) == wider


def test_pruning_to_a_multiple_undoes_widening_to_one():
    for size in range(8, 800, 8):
        for factor, fraction in ((4 / 3, "1/4"), (2, "1/2")):
            wider = size + num_added(size, factor, 8)
            assert wider - num_removed(wider, fraction, 8) == size


def test_a_convolution_that_would_get_no_multiple_cannot_grow():
    """The trunk has the filters of left and right together, 3 + 5."""
    graph, operator = tied(), WIDEN.with_width_multiple(8)
    assert "5 filters of 'trunk_conv' would stay as they are" in operator.refusal(
        graph, WidenSite("left_conv", 2, 8)
    )
    site = WidenSite("trunk_conv", 2, 8)
    assert site in operator.candidates(graph)
    assert {s.node for s in operator.candidates(graph)} == {
        "trunk_conv",
        "deep_conv",
        "small_conv",
        "hidden",
    }
    child = operator.apply(graph, site, rng=np.random.default_rng(0)).graph
    check(child)
    filters = [child[f"{name}_conv"].layer.filters for name in ("trunk", "left", "right", "deep")]
    assert filters == [24, 8, 16, 24]
    assert child.shapes()["depthwise"][-1] == 48
    assert relative_difference(graph, child, images(graph)) < 1e-6
    # Now left and right have multiples, so each can change alone.
    nodes = {s.node for s in operator.candidates(child)}
    assert nodes == {"hidden", *(f"{n}_conv" for n in ("trunk", "left", "right", "deep", "small"))}
    reason = operator.refusal(graph, WidenSite("trunk_conv", 2, 0))
    assert reason == "the multiple is 0; expected at least 1"


def test_tied_convolutions_grow_together():
    graph = tied()
    change = _widen(graph, "left_conv")
    child = change.graph
    check(child)
    filters = {
        name: child[name].layer.filters
        for name in ("trunk_conv", "left_conv", "right_conv", "deep_conv")
    }
    assert filters == {"trunk_conv": 11, "left_conv": 6, "right_conv": 5, "deep_conv": 11}
    assert child.shapes()["depthwise"][-1] == 22
    assert set(change.affected) >= {"trunk_bn", "deep_bn", "depthwise", "depthwise_bn"}
    fresh = {repair.node: repair.channels for repair in change.repairs}
    assert fresh == {
        "trunk_bn": (3, 4, 5),
        "left_bn": (3, 4, 5),
        "deep_bn": (3, 4, 5),
        "depthwise_bn": (6, 7, 8, 9, 10, 11),
    }


def test_split_filters_are_copies_with_unequal_shares():
    graph = small()
    change = _widen(graph, "conv_3", operator=SPLIT)
    child = change.graph
    kernel = child["conv_3"].weights["kernel"]
    np.testing.assert_array_equal(kernel[..., 10:], kernel[..., :10])
    for value in child["bn_3"].weights.values():
        np.testing.assert_array_equal(value[10:], value[:10])
    consumer = child["logits"].weights["kernel"]
    np.testing.assert_allclose(consumer[10:], 2 * consumer[:10], rtol=1e-6)
    np.testing.assert_array_equal(
        consumer[10:].astype(np.float64) + consumer[:10], graph["logits"].weights["kernel"]
    )
    assert change.repairs == ()


def _chain():
    graph = convolutions(2, shape=(5, 5, 2))
    at = stack(graph, "a", L.BatchNormalization(), L.ReLU(), L.Conv2D(3), stem="then")
    return new_weights(finished(graph, at))


def test_copies_get_different_gradients():
    """The gradient of a copy is proportional to the share of its consumers' weights."""
    graph = _chain()
    child = _widen(graph, "a", factor=2, operator=SPLIT).graph
    x = images(graph, 3)

    def loss(kernel):
        other = child.copy()
        other.set_weights("a", {"kernel": kernel})
        return np.log(forward(other, x)[other.output][:, 0]).sum()

    kernel = child["a"].weights["kernel"].astype(np.float64)
    step, gradients = 1e-6, np.zeros((2, 4))
    for place in range(2):
        for channel in range(4):
            moved = kernel.copy()
            moved[1, place, 0, channel] += step
            gradients[place, channel] = (loss(moved) - loss(kernel)) / step
    assert (np.abs(gradients) > 1e-3).any()
    np.testing.assert_allclose(gradients[:, 2:], 2 * gradients[:, :2], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("make", [small, tied, every_layer])
def test_splitting_by_four_keeps_the_function(make):
    graph = make()
    for node in {site.node for site in SPLIT.candidates(graph)}:
        child = _widen(graph, node, 4, SPLIT).graph
        check(child)
        assert relative_difference(graph, child, images(graph)) < 1e-10


def test_random_filters_follow_from_the_generator():
    graph = small()
    kernels = [
        WIDEN.apply(graph, WidenSite("conv_1", 2), rng=np.random.default_rng(seed)).graph["conv_1"]
        for seed in (0, 0, 1)
    ]
    first, again, other = (node.weights["kernel"] for node in kernels)
    np.testing.assert_array_equal(first, again)
    assert (first[..., 6:] != other[..., 6:]).all()
