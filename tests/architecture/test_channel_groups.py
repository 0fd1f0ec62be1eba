"""Channel groups by hand."""

import numpy as np
import pytest
from graphs import GRAPHS, convolutions, finished, stack

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.channel_groups import FRESH, channel_groups


def _runs(graph, name):
    """Return (group, size, repeat) for each run of a node."""
    groups = channel_groups(graph)
    return [(run.group, groups.sizes[run.group], run.repeat) for run in groups.runs[name]]


def _sizes(graph, name):
    return [size for _, size, _ in _runs(graph, name)]


def test_pass_through_layers_keep_the_groups():
    graph = convolutions(5)
    layers = (L.BatchNormalization(), L.ReLU(), L.MaxPooling2D(), L.Activation("tanh"))
    more = (L.AveragePooling2D(), L.Dropout(0.1), L.Rescaling(2.0), L.GlobalAveragePooling2D())
    at = stack(graph, "a", *layers, *more, stem="on")
    graph.add("dense", L.Dense(7), [at])
    graph.output = graph.add("softmax", L.Activation("softmax"), ["dense"])
    (expected,) = _runs(graph, "a")
    for name in graph.topological_order():
        if name.startswith("on_"):
            assert _runs(graph, name) == [expected]
    groups = channel_groups(graph)
    assert groups.why_fixed(groups.groups_of("a")) is None
    assert groups.why_fixed(groups.groups_of("image")) == "it is the input 'image'"
    assert groups.why_fixed(groups.groups_of("dense")) == "'softmax' is a softmax over all channels"


def test_channels_of_the_output_are_fixed():
    graph = convolutions(5)
    graph.output = graph.add("relu", L.ReLU(), ["a"])
    groups = channel_groups(graph)
    assert groups.why_fixed(groups.groups_of("a")) == "it reaches the output"


def test_rescaling_per_channel_fixes():
    graph = convolutions(2)
    at = graph.add("scaled", L.Rescaling((1.0, 2.0)), ["a"])
    finished(graph, at)
    groups = channel_groups(graph)
    assert "'scaled' rescales each channel" in groups.why_fixed(groups.groups_of("a"))


def test_sum_with_a_concatenation_splits_the_other_group():
    graph = convolutions(3, 5, 8)
    graph.add("both", L.Concatenate(), ["a", "b"])
    finished(graph, graph.add("sum", L.Add(), ["both", "c"]))
    assert _sizes(graph, "c") == [3, 5]
    assert _runs(graph, "c") == _runs(graph, "both") == _runs(graph, "sum")
    assert _runs(graph, "c") == _runs(graph, "a") + _runs(graph, "b")


def test_order_of_the_inputs_of_a_sum_does_not_matter():
    graph = convolutions(3, 5, 8)
    graph.add("both", L.Concatenate(), ["a", "b"])
    finished(graph, graph.add("sum", L.ConvexSum(), ["c", "both"]))
    assert _sizes(graph, "c") == [3, 5]


@pytest.mark.parametrize(("a", "b", "divisor"), [(2, 3, 1), (4, 6, 2), (3, 3, 3), (2, 8, 2)])
def test_sum_of_concatenations_in_opposite_order(a, b, divisor):
    graph = convolutions(a, b)
    graph.add("ab", L.Concatenate(), ["a", "b"])
    graph.add("ba", L.Concatenate(), ["b", "a"])
    finished(graph, graph.add("sum", L.Add(), ["ab", "ba"]))
    (group,) = channel_groups(graph).groups_of("sum")
    assert _runs(graph, "a") == [(group, divisor, 1)] * (a // divisor)
    assert _runs(graph, "b") == [(group, divisor, 1)] * (b // divisor)


def test_nested_concatenations_and_sums():
    graph = convolutions(2, 3, 5, 10)
    graph.add("inner", L.Concatenate(), ["a", "b"])
    graph.add("outer", L.Concatenate(), ["inner", "c"])  # a b c
    graph.add("sum", L.Add(), ["outer", "d"])
    graph.add("twice", L.Add(), ["c", "inner"])  # ties c to a b as well
    finished(graph, graph.add("all", L.Concatenate(), ["sum", "twice"]))
    a, b = _runs(graph, "a"), _runs(graph, "b")
    assert _runs(graph, "c") == [*a, *b]
    assert _runs(graph, "d") == [*a, *b, *a, *b]
    assert _runs(graph, "all") == [*a, *b] * 3


def test_three_inputs_of_a_sum_are_tied():
    graph = convolutions(4, 4, 4)
    finished(graph, graph.add("sum", L.Add(), ["a", "b", "c"]))
    assert _runs(graph, "a") == _runs(graph, "b") == _runs(graph, "c") == _runs(graph, "sum")


def test_channels_tied_to_the_input_are_fixed():
    graph = convolutions(1, 1, 5, 3)
    graph.add("both", L.Concatenate(), ["a", "b"])
    graph.add("sum", L.Add(), ["both", "image"])
    graph.add("more", L.Concatenate(), ["sum", "d"])
    finished(graph, graph.add("total", L.Add(), ["more", "c"]))
    groups = channel_groups(graph)
    for name in "abc":
        assert groups.why_fixed(groups.groups_of(name)) == "it is the input 'image'"
    assert groups.why_fixed(groups.groups_of("d")) is None
    assert _sizes(graph, "c") == [1, 1, 3]


def test_depth_multiplier_repeats_channels():
    graph = convolutions(3)
    graph.add("wide", L.DepthwiseConv2D(3, depth_multiplier=2), ["a"])
    graph.add("wider", L.DepthwiseConv2D(3, depth_multiplier=3), ["wide"])
    finished(graph, "wider")
    ((group, size, _),) = _runs(graph, "a")
    assert _runs(graph, "wider") == [(group, size, 6)]
    source = channel_groups(graph).source("wide", {group: np.array([2, FRESH, 0])})
    assert source.tolist() == [4, 5, FRESH, FRESH, 0, 1]
    assert channel_groups(graph).source("image", {group: np.array([2])}) is None


def test_equal_depth_multipliers_tie_and_different_ones_fix():
    graph = convolutions(3, 3, 6)
    graph.add("wide_a", L.DepthwiseConv2D(3, depth_multiplier=2), ["a"])
    graph.add("wide_b", L.DepthwiseConv2D(3, depth_multiplier=2), ["b"])
    graph.add("sum", L.Add(), ["wide_a", "wide_b"])
    finished(graph, "sum")
    assert _runs(graph, "a") == _runs(graph, "b")
    groups = channel_groups(graph)
    assert groups.why_fixed(groups.groups_of("a")) is None
    graph.add("other", L.Add(), ["wide_a", "c"])
    graph.redirect("sum", "other", exclude=["other"])
    graph.remove_unused()
    groups = channel_groups(graph)
    for name in "ac":
        assert "depth multiplier" in groups.why_fixed(groups.groups_of(name))


# --- Products ------------------------------------------------------------------------------------


def test_product_ties_like_a_sum():
    graph = convolutions(3, 5, 8)
    graph.add("both", L.Concatenate(), ["a", "b"])
    finished(graph, graph.add("product", L.Multiply(), ["both", "c"]))
    assert _sizes(graph, "c") == [3, 5]
    assert _runs(graph, "c") == _runs(graph, "product") == _runs(graph, "a") + _runs(graph, "b")


def test_gate_of_one_pixel_is_tied_to_the_channels_of_the_image():
    graph = convolutions(4)
    at = stack(graph, "a", L.GlobalAveragePooling2D(), L.Reshape((1, 1, 4)), stem="squeezed")
    graph.add("gate", L.Conv2D(4, 1), [at])
    finished(graph, graph.add("product", L.Multiply(), ["a", "gate"]))
    assert _runs(graph, "gate") == _runs(graph, "a") == _runs(graph, "squeezed_reshape")
    groups = channel_groups(graph)
    assert groups.why_fixed(groups.groups_of("a")) is None


def test_gate_of_one_channel_is_fixed():
    graph = convolutions(4, 1)
    finished(graph, graph.add("product", L.Multiply(), ["b", "a"]))
    groups = channel_groups(graph)
    assert groups.why_fixed(groups.groups_of("b")) == (
        "'product' combines all channels with this one"
    )
    assert groups.why_fixed(groups.groups_of("a")) is None
    assert _runs(graph, "product") == _runs(graph, "a")


# --- Grouped convolutions ------------------------------------------------------------------------


def test_blocks_of_a_grouped_convolution_are_tied():
    graph = convolutions(6)
    graph.add("grouped", L.Conv2D(9, groups=3), ["a"])
    finished(graph, "grouped")
    ((first, *_), *others) = _runs(graph, "a")
    assert _runs(graph, "a") == [(first, 2, 1)] * 3
    assert len(others) == 2
    ((own, *_), *_) = _runs(graph, "grouped")
    assert _runs(graph, "grouped") == [(own, 3, 1)] * 3
    assert own != first
    source = channel_groups(graph).source("a", {first: np.array([1, FRESH])})
    assert source.tolist() == [1, FRESH, 3, FRESH, 5, FRESH]


def test_blocks_that_cut_through_a_concatenation():
    graph = convolutions(2, 4)
    graph.add("both", L.Concatenate(), ["a", "b"])
    finished(graph, graph.add("grouped", L.Conv2D(2, groups=2), ["both"]))
    # blocks (a, first of b) and the rest of b: a is tied to the second and third of b, or so
    assert sum(_sizes(graph, "both")) == 6
    runs = _runs(graph, "both")
    half = len(runs) // 2
    assert runs[:half] == runs[half:]
    assert _runs(graph, "a") + _runs(graph, "b") == runs


def test_blocks_of_repeated_channels():
    graph = convolutions(4)
    graph.add("wide", L.DepthwiseConv2D(depth_multiplier=2), ["a"])
    finished(graph, graph.add("grouped", L.Conv2D(4, groups=4), ["wide"]))
    ((group, *_), *_) = _runs(graph, "a")
    assert _runs(graph, "a") == [(group, 1, 1)] * 4
    assert _runs(graph, "wide") == [(group, 1, 2)] * 4


def test_blocks_that_end_between_copies_are_fixed():
    graph = convolutions(3)
    graph.add("wide", L.DepthwiseConv2D(depth_multiplier=2), ["a"])
    finished(graph, graph.add("grouped", L.Conv2D(2, groups=2), ["wide"]))
    groups = channel_groups(graph)
    assert "'grouped' separates the copies" in groups.why_fixed(groups.groups_of("a"))
    assert groups.why_fixed(groups.groups_of("grouped")) is None


# --- Rearranged values ---------------------------------------------------------------------------


def test_padding_and_cropping_pass_channels_on():
    graph = convolutions(3)
    finished(graph, stack(graph, "a", L.ZeroPadding2D(2), L.Cropping2D(1), stem="on"))
    assert _runs(graph, "a") == _runs(graph, "on_zeropadding2d") == _runs(graph, "on_cropping2d")


@pytest.mark.parametrize(
    ("target", "times"),
    [((36, 3), 1), ((12, 3, 3), 1), ((6, 18), 6), ((-1,), 36), ((6, 6, -1), 1), ((4, 27), 9)],
)
def test_reshape_of_whole_pixels_passes_channels_on(target, times):
    graph = convolutions(3)
    graph.add("reshaped", L.Reshape(target), ["a"])
    graph.output = graph.add("dense", L.Dense(2), ["reshaped"])
    assert _runs(graph, "reshaped") == _runs(graph, "a") * times


@pytest.mark.parametrize("target", [(27, 4), (108, 1), (3, 36, -1)])
def test_reshape_that_separates_channels_fixes_them(target):
    graph = convolutions(3)
    graph.add("reshaped", L.Reshape(target), ["a"])
    graph.output = graph.add("dense", L.Dense(2), ["reshaped"])
    groups = channel_groups(graph)
    for name in ("a", "reshaped"):
        assert groups.why_fixed(groups.groups_of(name)) == "'reshaped' separates channels"
    assert sum(_sizes(graph, "reshaped")) == graph.shapes()["reshaped"][-1]


def test_normalization_fixes():
    graph = convolutions(2)
    finished(graph, graph.add("normal", L.Normalization(), ["a"]))
    groups = channel_groups(graph)
    assert "'normal' normalizes each channel" in groups.why_fixed(groups.groups_of("a"))


def test_flatten_repeats_channels_once_per_pixel():
    graph = convolutions(2, 3, shape=(1, 2, 2))
    graph.add("both", L.Concatenate(), ["a", "b"])
    graph.add("flat", L.Flatten(), ["both"])
    graph.output = graph.add("dense", L.Dense(3), ["flat"])
    assert _sizes(graph, "flat") == [2, 3, 2, 3]
    (group,) = channel_groups(graph).groups_of("b")
    source = channel_groups(graph).source("flat", {group: np.array([2, 0])})
    assert source.tolist() == [0, 1, 4, 2, 5, 6, 9, 7]


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_groups_match_the_shapes_of_every_graph(make):
    graph = make()
    groups, shapes = channel_groups(graph), graph.shapes()
    for name, node in graph.items():
        runs = groups.runs[name]
        assert sum(groups.sizes[run.group] * run.repeat for run in runs) == shapes[name][-1]
        if isinstance(node.layer, L.Add | L.ConvexSum):
            is_fixed = groups.why_fixed(groups.groups_of(name)) is not None
            assert is_fixed or all(groups.runs[i] == runs for i in node.inputs)
        if isinstance(node.layer, L.Conv2D | L.SeparableConv2D | L.Dense):
            assert all(run.repeat == 1 for run in runs)
    assert groups.why_fixed(groups.groups_of(graph.output)) is not None


def test_a_group_per_channel_fixes_many_channels_at_once():
    graph = Graph()
    graph.add("images", L.Input((8, 8, 3)))
    graph.add("conv", L.Conv2D(2048, 1), ["images"])
    graph.add("depthwise", L.Conv2D(2048, 3, groups=2048), ["conv"])
    graph.output = graph.add("sum", L.Add(), ["conv", "depthwise"])
    groups = channel_groups(graph)
    assert "'depthwise' has a group for each of many channels" in groups.why_fixed(
        groups.groups_of("conv")
    )
