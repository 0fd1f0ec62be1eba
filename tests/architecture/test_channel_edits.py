"""Changes of channels against slices by hand and a reference forward pass."""

import numpy as np
import pytest
from graphs import GRAPHS, convolutions, every_layer, finished, images, new_weights, stack, tied
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference import forward, relative_difference

from lemonade_tf.architecture import Graph, check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.channel_edits import (
    absorbing_consumers,
    can_append_channels,
    change_channels,
)
from lemonade_tf.architecture.channel_groups import FRESH, channel_groups
from lemonade_tf.architecture.channel_weights import split_among_copies, take


def _random_values(_, shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


# --- The layers that consume channels ------------------------------------------------------------


def test_absorbing_consumers():
    graph = convolutions(2, 3, shape=(2, 2, 2))
    graph.add("relu", L.ReLU(), ["b"])
    graph.add("inner", L.Concatenate(), ["a", "relu"])
    graph.add("outer", L.Concatenate(), ["relu", "inner"])
    graph.add("conv", L.Conv2D(4), ["outer"])
    graph.add("flat", L.Flatten(), ["inner"])
    graph.add("dense", L.Dense(4), ["flat"])
    graph.add("pool", L.GlobalAveragePooling2D(), ["conv"])
    graph.add("sum", L.Add(), ["pool", "dense"])
    graph.output = graph.add("logits", L.Dense(3), ["sum"])
    assert absorbing_consumers(graph, "relu") == {"conv": (0, 5), "dense": (2, 7, 12, 17)}
    assert absorbing_consumers(graph, "b") == absorbing_consumers(graph, "relu")
    assert absorbing_consumers(graph, "a") == {"conv": (3,), "dense": (0, 5, 10, 15)}
    assert absorbing_consumers(graph, "image") == {"a": (0,), "b": (0,)}
    assert absorbing_consumers(graph, "conv") is None  # a sum
    assert absorbing_consumers(graph, "sum") == {"logits": (0,)}
    assert absorbing_consumers(graph, "logits") is None  # the output


@pytest.mark.parametrize("layer", [L.BatchNormalization(), L.DepthwiseConv2D()])
def test_channels_before_a_layer_with_weights_per_channel_have_no_absorbing_consumers(layer):
    graph = convolutions(2)
    finished(graph, graph.add("on", layer, ["a"]))
    assert absorbing_consumers(graph, "a") is None
    assert absorbing_consumers(graph, "on") == {"head_dense": (0,)}
    assert {"a", "on"} <= appendable(graph)


def appendable(graph):
    return {name for name in graph if can_append_channels(graph, name)}


def test_can_append_channels():
    graph = tied()
    after = ("depthwise", "depthwise_bn", "depthwise_relu", "small_conv", "small_bn", "small")
    dense = ("flat", "hidden", "hidden_relu")
    assert appendable(graph) == {"image", "scaled", "total", *after, *dense}
    # The others reach a normalization, a sum or the output on some path.
    assert appendable(every_layer()) == {
        *("normal", "mix", "both", "strided", "flat", "mean", "all", "dropout", "hidden"),
    }


@pytest.mark.parametrize("layer", [L.Conv2D(4, groups=2), L.Reshape((36, 3))], ids=str)
def test_layers_with_a_fixed_number_of_channels_absorb_no_more(layer):
    graph = convolutions(4 if isinstance(layer, L.Conv2D) else 3)
    graph.add("it", layer, ["a"])
    graph.output = graph.add("dense", L.Dense(2), ["it"])
    assert absorbing_consumers(graph, "a") is None
    assert not can_append_channels(graph, "a")


def test_padding_and_cropping_pass_channels_to_an_absorber():
    graph = convolutions(2)
    finished(graph, stack(graph, "a", L.ZeroPadding2D(), L.Cropping2D(1), stem="on"))
    assert absorbing_consumers(graph, "a") == {"head_dense": (0,)}
    assert can_append_channels(graph, "a")


# --- Values --------------------------------------------------------------------------------------


def test_take():
    array = np.arange(6).reshape(2, 3)
    assert take(array, np.array([2, FRESH, 2]), 1).tolist() == [[2, 0, 2], [5, 0, 5]]
    filled = take(array, np.array([1, FRESH]), 0, fill=np.full((2, 3), 9))
    assert filled.tolist() == [[3, 4, 5], [9, 9, 9]]
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


FLOATS = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None)
@given(arrays(np.float32, (3, 4), elements=FLOATS), st.lists(st.integers(-1, 3), max_size=12))
def test_parts_add_up_to_the_weight_to_the_last_bit(kernel, extra):
    source = np.array([*range(4), *extra])
    parts = split_among_copies(kernel, source, axis=1)
    assert parts.dtype == np.float32
    for old in range(4):
        total = parts[:, source == old].astype(np.float64).sum(axis=1)
        assert (total == kernel[:, old]).all()
    assert (parts[:, source == FRESH] == 0).all()


def test_parts_are_unequal():
    kernel = np.array([[6.0, -12.0], [1.0, 0.5]], np.float32)
    parts = split_among_copies(kernel, np.array([0, 1, 1, 0, FRESH, 1]), axis=1)
    expected = [[2, -2, -4, 4, 0, -6], [1 / 3, 1 / 12, 1 / 6, 2 / 3, 0, 1 / 4]]
    np.testing.assert_allclose(parts, expected, rtol=1e-6)


# --- Changes -------------------------------------------------------------------------------------


def _free_groups(graph):
    groups = channel_groups(graph)
    found = {g for name in graph for g in groups.groups_of(name)}
    return sorted(g for g in found if groups.why_capped([g]) is None)


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_fresh_and_split_channels_keep_the_function(make, seed):
    rng = np.random.default_rng(seed)
    graph = make()
    child, sources = graph.copy(), {}
    for group in _free_groups(graph):
        size = channel_groups(graph).sizes[group]
        extra = rng.integers(-1, size, int(rng.integers(0, 4)))
        sources[group] = rng.permutation([*range(size), *extra])
    before = dict(graph.items())
    change = change_channels(child, sources, _random_values)
    check(child)
    assert relative_difference(graph, child, images(graph, 2)) < 1e-10
    assert dict(graph.items()) == before
    for name, source in change.sources.items():
        assert child.shapes()[name][-1] == len(source)
    untouched = set(child) - {*change.producers, *change.carriers, *change.absorbers}
    assert all(child[name].weights is graph[name].weights for name in untouched)


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_removing_fresh_channels_restores_every_weight(make):
    rng = np.random.default_rng(0)
    graph = make()
    child, forward_sources, backward_sources = graph.copy(), {}, {}
    for group in _free_groups(graph):
        size = channel_groups(graph).sizes[group]
        forward_sources[group] = rng.permutation([*range(size), FRESH, FRESH])
        backward_sources[group] = np.argsort(forward_sources[group])[2:]
    change_channels(child, forward_sources, _random_values)
    change_channels(child, backward_sources, _random_values)
    for name, node in graph.items():
        assert child[name].layer == node.layer
        for key, value in node.weights.items():
            np.testing.assert_array_equal(child[name].weights[key], value, err_msg=f"{name} {key}")


def test_fresh_input_of_a_separable_convolution_can_be_learned():
    """The pointwise weights are zero; with a zero depthwise kernel no gradient would flow."""
    graph = convolutions(2)
    graph.add("separable", L.SeparableConv2D(3, 3), ["a"])
    graph = new_weights(finished(graph, "separable"))
    (group,) = channel_groups(graph).groups_of("a")
    change_channels(graph, {group: np.array([0, 1, FRESH])}, _random_values)
    identity = np.zeros((3, 3))
    identity[1, 1] = 1
    weights = graph["separable"].weights
    np.testing.assert_array_equal(weights["depthwise_kernel"][:, :, 2, 0], identity)
    np.testing.assert_array_equal(weights["pointwise_kernel"][0, 0, 2], np.zeros(3))


def test_pruning_slices_every_weight():
    graph = convolutions(4, 2)
    at = stack(graph, "a", L.BatchNormalization(), L.ReLU(), stem="on")
    graph.add("depthwise", L.DepthwiseConv2D(3, depth_multiplier=2, use_bias=True), [at])
    graph.add("both", L.Concatenate(), ["b", "depthwise"])
    graph.add("conv", L.Conv2D(3, use_bias=True), ["both"])
    graph.add("separable", L.SeparableConv2D(3, depth_multiplier=2), ["both"])
    graph.add("sum", L.Add(), ["conv", "separable"])
    graph.add("pool", L.GlobalAveragePooling2D(), ["both"])
    graph.add("flat", L.Flatten(), ["sum"])
    graph.add("all", L.Concatenate(), ["flat", "pool"])
    graph.output = graph.add("logits", L.Dense(3), ["all"])
    graph = new_weights(graph)
    child = graph.copy()
    (group,) = channel_groups(graph).groups_of("a")
    change = change_channels(child, {group: np.array([0, 2])}, None)
    check(child)
    assert change.producers == ("a",)
    assert set(change.carriers) == {"on_batchnormalization", "depthwise"}
    assert set(change.absorbers) == {"conv", "separable", "logits"}

    both = np.array([0, 1, 2, 3, 6, 7])  # of b both, of the depthwise 0, 1 and 4, 5
    wide = np.array([0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15])
    last = np.append(np.arange(6 * 6 * 3), 6 * 6 * 3 + both)
    expected = {
        ("a", "kernel"): np.s_[..., [0, 2]],
        ("depthwise", "kernel"): np.s_[:, :, [0, 2]],
        ("depthwise", "bias"): np.s_[[0, 1, 4, 5]],
        ("conv", "kernel"): np.s_[:, :, both],
        ("separable", "depthwise_kernel"): np.s_[:, :, both],
        ("separable", "pointwise_kernel"): np.s_[:, :, wide],
        ("logits", "kernel"): np.s_[last],
    }
    for key in graph["on_batchnormalization"].weights:
        expected["on_batchnormalization", key] = np.s_[[0, 2]]
    for name, node in graph.items():
        for key, value in node.weights.items():
            sliced = value[expected.get((name, key), np.s_[...])]
            np.testing.assert_array_equal(child[name].weights[key], sliced, err_msg=f"{name} {key}")


def test_pruning_a_tied_group_prunes_all_its_producers():
    graph = convolutions(2, 3, 5)
    graph.add("both", L.Concatenate(), ["a", "b"])
    finished(graph, graph.add("sum", L.Add(), ["both", "c"]))
    graph = new_weights(graph)
    child = graph.copy()
    (group,) = channel_groups(graph).groups_of("b")
    change_channels(child, {group: np.array([2, 0])}, None)
    check(child)
    kept = [0, 1, 4, 2]
    assert child["a"] == graph["a"]
    for name, key, index in (
        ("b", "kernel", np.s_[..., [2, 0]]),
        ("c", "kernel", np.s_[..., kept]),
        ("head_dense", "kernel", np.s_[kept]),
    ):
        np.testing.assert_array_equal(
            child[name].weights[key], graph[name].weights[key][index], err_msg=name
        )


def test_pruning_a_channel_equals_zeroing_its_consumers_weights():
    graph = tied()
    child, zeroed = graph.copy(), graph.copy()
    (group,) = channel_groups(graph).groups_of("small")
    change_channels(child, {group: np.array([3, 1])}, None)
    kernel = graph["hidden"].weights["kernel"].copy()
    for position in range(len(kernel) // 4):
        kernel[4 * position + np.array([0, 2])] = 0
    zeroed.set_weights("hidden", {**graph["hidden"].weights, "kernel": kernel})
    assert relative_difference(graph, zeroed, images(graph)) > 1e-3
    assert relative_difference(zeroed, child, images(graph)) < 1e-12


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_graph_without_weights_changes_like_one_with_weights(make):
    graph = make()
    child, shapes = graph.copy(), graph.copy(weights=False)
    sources = {
        group: np.append(np.arange(channel_groups(graph).sizes[group]), [FRESH, 0])
        for group in _free_groups(graph)
    }
    one = change_channels(child, sources, _random_values)
    other = change_channels(shapes, sources, _random_values)
    assert [node.layer for _, node in child.items()] == [node.layer for _, node in shapes.items()]
    assert not shapes.has_weights
    assert (one.producers, one.carriers, one.absorbers) == (
        other.producers,
        other.carriers,
        other.absorbers,
    )


def test_sum_with_a_flattened_image_ties_a_dense_layer_once_per_pixel():
    graph = convolutions(2, shape=(1, 2, 2))
    graph.add("flat", L.Flatten(), ["a"])
    graph.add("dense", L.Dense(4), ["flat"])
    graph.add("sum", L.Add(), ["flat", "dense"])
    graph.output = graph.add("logits", L.Dense(3), ["sum"])
    groups = channel_groups(graph)
    assert groups.runs["dense"] == groups.runs["a"] * 2
    graph = new_weights(graph)
    child = graph.copy()
    (group,) = channel_groups(graph).groups_of("a")
    change_channels(child, {group: np.array([1, 0, 1, FRESH])}, _random_values)
    check(child)
    assert child["dense"].layer.units == 8
    x = images(graph)
    expected, values = forward(graph, x)["logits"], forward(child, x)["logits"]
    np.testing.assert_allclose(values, expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("norm", "removed", "kept"),
    [
        (L.LayerNormalization(), [0, 3, 4], [1, 2, 5]),
        (L.GroupNormalization(1), [5], [0, 1, 2, 3, 4]),
        (L.GroupNormalization(2), [1], [0, 2, 3, 5]),  # channel 1 of each of both groups
    ],
    ids=str,
)
def test_channels_that_are_normalized_together_can_only_be_removed(norm, removed, kept):
    graph = Graph()
    at = stack(graph, graph.add("image", L.Input((4, 4, 2))), L.Conv2D(6, 3), norm, stem="a")
    graph.output = graph.add("flat", L.Flatten(), [graph.add("b", L.Conv2D(3, 1), [at])])
    graph = new_weights(graph, 0)
    before = {n: dict(node.weights) for n, node in graph.items()}
    conv = next(n for n, node in graph.items() if isinstance(node.layer, L.Conv2D))
    group = channel_groups(graph).groups_of(conv)[0]
    size = channel_groups(graph).sizes[group]
    for source in ([*range(size), -1], [*range(size), 0], list(range(size))[::-1]):
        with pytest.raises(ValueError, match=r"can only be removed: .a.*. normalizes"):
            change_channels(graph, {group: np.array(source)}, _random_values)
    stays = np.setdiff1d(np.arange(size), removed)
    change_channels(graph, {group: stays}, _random_values)
    check(graph)
    assert {key: w.tolist() for key, w in graph[at].weights.items()} == {
        key: w[kept].tolist() for key, w in before[at].items()
    }
    np.testing.assert_array_equal(graph["b"].weights["kernel"], before["b"]["kernel"][:, :, kept])
    assert getattr(graph[at].layer, "groups", 0) == getattr(norm, "groups", 0)


def test_fixed_group_is_refused():
    graph = tied()
    before = dict(graph.items())
    (group,) = channel_groups(graph).groups_of("image")
    with pytest.raises(ValueError, match="these channels cannot change: it is the input 'image'"):
        change_channels(graph, {group: np.array([0])}, _random_values)
    assert dict(graph.items()) == before
