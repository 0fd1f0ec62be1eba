"""Removal of blocks and skips: where it applies, the new weights, what distillation trains."""

import numpy as np
import pytest
from graphs import convolutions, finished, images, new_weights, small, stack, tied
from reference import forward, relative_difference

from lemonade_tf.architecture import Graph, check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import same_architecture
from lemonade_tf.operators import AddSkip, FitOutputs, InsertConvolution, MeasureStatistics, Remove
from lemonade_tf.operators.blocks import block_at
from lemonade_tf.operators.deepen import InsertSite
from lemonade_tf.operators.morphisms import identity_normalization
from lemonade_tf.operators.remove import RemoveSite
from lemonade_tf.operators.skip import SkipSite

REMOVE = Remove()


def _remove(graph, node):
    return REMOVE.apply(graph, RemoveSite(node), rng=np.random.default_rng(0))


def _sites(graph):
    return [site.node for site in REMOVE.candidates(graph)]


def _with_skip(graph, *skip):
    return AddSkip().apply(graph, SkipSite(*skip), rng=np.random.default_rng(0)).graph


def _blocks(*widths, kernels=None, shape=(6, 6, 3)):
    """Return a network of Conv-BatchNorm-ReLU blocks, conv_1 and so on."""
    graph = Graph()
    at = graph.add("image", L.Input(shape))
    for number, width in enumerate(widths, 1):
        kernel = 3 if kernels is None else kernels[number - 1]
        at = graph.add(f"conv_{number}", L.Conv2D(width, kernel), [at])
        at = graph.add(f"bn_{number}", L.BatchNormalization(), [at])
        at = graph.add(f"relu_{number}", L.ReLU(), [at])
    return finished(graph, at)


def _make_linear(graph, number):
    """Make a block of 1x1 convolution and batch norm linear for non-negative inputs."""
    rng = np.random.default_rng(1)
    kernel = graph[f"conv_{number}"].weights["kernel"]
    graph.set_weights(f"conv_{number}", {"kernel": rng.uniform(0, 1, kernel.shape)})
    width = kernel.shape[-1]
    weights = {
        "gamma": rng.uniform(0.5, 2, width),
        "beta": np.zeros(width),
        "moving_mean": np.zeros(width),
        "moving_variance": rng.uniform(0.5, 2, width),
    }
    graph.set_weights(f"bn_{number}", weights)


# --- Sites of blocks -----------------------------------------------------------------------------


def test_sites_of_a_small_network():
    assert _sites(small()) == ["conv_1", "conv_2", "conv_3"]


def test_the_middle_of_a_bottleneck_is_not_removed():
    graph = _blocks(64, 8, 64)
    assert "conv_2" not in _sites(graph)  # conv_3 would have 64 input channels instead of 8
    assert "conv_3" in _sites(graph)


def test_a_removal_that_does_not_lower_the_parameters_does_not_apply():
    # 9 * 3 * 3 + 4 * 3 parameters are removed; the 3x3 consumer keeps 3 input channels.
    assert "conv_2" in _sites(_blocks(3, 3, 3))
    # 1 * 8 * 4 + 4 * 4 = 48 are removed, (8 - 4) * 12 = 48 added; with one filter less, 44.
    assert "conv_2" not in _sites(_blocks(8, 4, 12, kernels=(3, 1, 1)))
    assert "conv_2" in _sites(_blocks(8, 4, 11, kernels=(3, 1, 1)))


@pytest.mark.parametrize(("filters", "removable"), [(5, True), (6, False)])
def test_a_consumer_that_takes_the_block_twice_counts_twice(filters, removable):
    # 1 * 8 * 4 + 4 * 4 = 48 are removed, 2 * (8 - 4) * filters are added.
    graph = _blocks(8, 4, kernels=(3, 1))
    graph.add("twice", L.Concatenate(), ["relu_2", "relu_2"])
    graph.set_inputs(
        "head_globalaveragepooling2d", [graph.add("c", L.Conv2D(filters, 1), ["twice"])]
    )
    check(graph)
    assert ("conv_2" in _sites(graph)) == removable
    assert "twice" not in _sites(graph)  # no skip: both inputs are the main path


@pytest.mark.parametrize(
    "layer",
    [
        L.Conv2D(4, 3, strides=2),
        L.Conv2D(4, 2),
        L.Conv2D(4, 3, padding="valid"),
        L.SeparableConv2D(4, 3, strides=2),
    ],
    ids=str,
)
def test_a_block_that_changes_the_resolution_is_not_removed(layer):
    graph = _blocks(4, 4, 4)
    graph.set_layer("conv_2", layer)
    assert _sites(graph) == ["conv_1", "conv_3"]


def test_a_block_can_end_in_another_activation():
    graph = _blocks(4, 4)
    graph.set_layer("relu_1", L.Activation("silu"))
    assert block_at(graph, "conv_1") == ("conv_1", "bn_1", "relu_1")
    graph.set_layer("relu_1", L.Activation("linear"))
    assert block_at(graph, "conv_1") is None


def test_incomplete_blocks_are_not_removed():
    graph = _blocks(4, 4, 4, 4)
    graph.set_layer("relu_1", L.Dropout(0.1))
    graph.add("pool", L.GlobalAveragePooling2D(), ["bn_2"])  # a second consumer
    graph.add("all", L.Concatenate(), ["pool", "head_globalaveragepooling2d"])
    graph.set_inputs("head_dense", ["all"])
    check(graph)
    assert block_at(graph, "conv_1") is None
    assert block_at(graph, "conv_2") is None
    assert block_at(graph, "conv_3") == ("conv_3", "bn_3", "relu_3")
    assert set(_sites(graph)) == {"conv_3", "conv_4", "all"}


def test_a_block_before_a_sum_requires_equal_shapes():
    assert set(_sites(tied())) >= {"deep_conv"}
    assert not {"trunk_conv", "left_conv", "right_conv"} & set(_sites(tied()))


def test_the_block_of_the_output_is_not_removed():
    graph = Graph()
    graph.add("image", L.Input((6, 6, 4)))
    layers = (L.Conv2D(4), L.BatchNormalization(), L.ReLU())
    graph.output = stack(graph, "image", *layers, stem="only")
    assert _sites(graph) == []


# --- Weights of the consumers --------------------------------------------------------------------


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("node", ["relu_1", "pool_1", "relu_2", "relu_3"])
def test_removing_an_inserted_block_restores_the_network(node, kernel_size):
    graph = small()
    if node == "relu_3":
        kernel_size = 3
    site = InsertSite(node, kernel_size)
    inserted = InsertConvolution().apply(graph, site, rng=np.random.default_rng(0))
    child = _remove(inserted.graph, inserted.affected[0]).graph
    check(child)
    assert same_architecture(child, graph)
    # The consumer's kernel is scaled by gamma / sqrt(variance + epsilon) and rounded to float32.
    assert relative_difference(graph, child, images(graph)) < 2e-6


@pytest.mark.parametrize("consumer", [L.Conv2D(5, 3), L.Conv2D(5, 2, padding="valid")], ids=str)
def test_a_linear_block_is_composed_into_its_consumer(consumer):
    graph = _blocks(6, 6, 5, kernels=(3, 1, 3))
    graph.set_layer("conv_3", consumer)
    graph = new_weights(graph.copy(weights=False))
    _make_linear(graph, 2)
    change = _remove(graph, "conv_2")
    check(change.graph)
    assert relative_difference(graph, change.graph, images(graph)) < 1e-6
    assert change.affected == ("conv_1", "bn_1", "conv_3", "bn_3")


def test_a_linear_block_is_composed_into_all_of_its_consumers():
    """A convolution, a separable one of full rank, and a dense layer after pooling, twice."""
    graph = _blocks(5, 6, kernels=(3, 1))
    graph.add("both", L.Concatenate(), ["relu_2", "relu_1", "relu_2"])
    graph.add("conv", L.Conv2D(3), ["both"])
    graph.add("separable", L.SeparableConv2D(3, 2, depth_multiplier=4), ["relu_2"])
    graph.add("sum", L.Add(), ["conv", "separable"])
    graph.add("mean", L.GlobalAveragePooling2D(), ["both"])
    graph.add("pool", L.AveragePooling2D(3), ["both"])
    graph.add("flat", L.Flatten(), ["pool"])
    graph.add("mean_sum", L.GlobalAveragePooling2D(), ["sum"])
    graph.add("all", L.Concatenate(), ["mean", "flat", "mean_sum"])
    graph.set_inputs("head_dense", ["all"])
    graph.remove_unused()
    graph = new_weights(graph)
    _make_linear(graph, 2)
    change = _remove(graph, "conv_2")
    check(change.graph)
    assert relative_difference(graph, change.graph, images(graph)) < 1e-6
    assert set(change.affected) == {"conv_1", "bn_1", "conv", "separable", "head_dense"}


def test_a_wider_kernel_is_composed_inside_the_image():
    """At the border they differ: the zero padding is around the image, not around the block."""
    graph = _blocks(4, 4, 4, kernels=(3, 3, 5), shape=(13, 13, 3))
    graph = new_weights(graph)
    _make_linear(graph, 2)
    inner = graph["conv_3"].weights["kernel"].copy()
    inner[[0, -1]] = inner[:, [0, -1]] = 0  # so that nothing of the composition is cropped
    graph.set_weights("conv_3", {"kernel": inner})
    child = _remove(graph, "conv_2").graph
    x = images(graph)
    expected, values = forward(graph, x)["conv_3"], forward(child, x)["conv_3"]
    inside = np.s_[:, 3:-3, 3:-3]
    np.testing.assert_allclose(values[inside], expected[inside], rtol=1e-5, atol=1e-4)
    assert np.abs(values - expected).max() > 1e-3


def test_a_dense_layer_after_global_pooling_gets_the_whole_kernel():
    """On an image of one color, the mean comes from the whole kernel except at the border."""
    graph = _blocks(4, 4, shape=(41, 41, 3))
    graph = new_weights(graph)
    _make_linear(graph, 2)
    child = _remove(graph, "conv_2").graph
    x = np.full((1, 41, 41, 3), 100.0)
    assert relative_difference(graph, child, x) < 0.1


@pytest.mark.parametrize(
    ("removed", "consumer"), [(7, 2), (9, 3), ((1, 7), (7, 1)), ((7, 1), (1, 2)), (5, 1), (11, 5)]
)
def test_kernels_of_any_two_sizes_compose(removed, consumer):
    graph = _blocks(4, 4, 4, kernels=(3, removed, consumer), shape=(12, 12, 3))
    child = _remove(new_weights(graph), "conv_2").graph
    check(child)


def test_before_a_sum_the_block_is_replaced_by_the_identity():
    graph = tied()
    child = _remove(graph, "deep_conv").graph
    check(child)
    assert child["total"].inputs == ("residual", "residual")
    assert all(node.weights is graph[name].weights for name, node in child.items())


# --- Skips ---------------------------------------------------------------------------------------


def test_a_concatenation_is_removed():
    graph = small()
    child = _with_skip(graph, "relu_1", "relu_3", "concatenate")
    assert "skip_concat_1" in _sites(child)
    change = _remove(child, "skip_concat_1")
    check(change.graph)
    assert list(change.graph) == list(graph)
    for name, node in graph.items():
        assert change.graph[name].layer == node.layer
        for key, value in node.weights.items():
            np.testing.assert_array_equal(change.graph[name].weights[key], value)
    assert change.affected == ("conv_3", "bn_3", "logits")


def test_a_concatenation_of_vectors_is_removed():
    graph = _blocks(4, 5)
    graph.add("pool_1", L.GlobalAveragePooling2D(), ["relu_1"])
    graph.add("all", L.Concatenate(), ["head_globalaveragepooling2d", "pool_1"])
    graph.set_inputs("head_dense", ["all"])
    graph = new_weights(graph)
    assert "all" in _sites(graph)
    child = _remove(graph, "all").graph
    check(child)
    np.testing.assert_array_equal(
        child["head_dense"].weights["kernel"], graph["head_dense"].weights["kernel"][:5]
    )


def test_a_projected_sum_is_removed_with_its_pooling_and_convolution():
    graph = small()
    child = _with_skip(graph, "relu_1", "relu_2", "convex_sum")
    assert "skip_sum_1" in _sites(child)
    change = _remove(child, "skip_sum_1")
    check(change.graph)
    assert dict(change.graph.items()) == dict(graph.items())
    assert change.affected == ("conv_2", "bn_2", "conv_3", "bn_3")
    assert change.repairs == (FitOutputs("conv_3"), MeasureStatistics("bn_3"))


def test_a_skip_without_parameters_is_removed():
    graph = small(widths=(6, 6, 6))
    child = _with_skip(graph, "relu_1", "relu_2", "convex_sum")
    assert count_parameters(child) == count_parameters(graph)
    change = _remove(child, "skip_sum_1")
    check(change.graph)
    assert dict(change.graph.items()) == dict(graph.items())
    assert change.affected == ("conv_2", "bn_2", "conv_3", "bn_3")


def test_a_skip_is_removed_without_the_projection_that_it_shares():
    graph = small(widths=(6, 8, 8))
    graph = _with_skip(graph, "relu_1", "relu_2", "convex_sum")
    graph.set_inputs("logits", ["global_pool"])
    graph.add("more", L.GlobalAveragePooling2D(), ["skip_conv_1"])
    graph.add("both", L.Add(), ["global_pool", "more"])
    graph.set_inputs("logits", ["both"])
    child = _remove(graph, "skip_sum_1").graph
    check(child)
    assert set(graph) - set(child) == {"skip_sum_1"}
    assert child.consumers("skip_conv_1") == ("more",)


def test_a_skip_over_a_removed_block_is_removed_too():
    graph = _blocks(6, 6, 6)
    graph = _with_skip(new_weights(graph), "relu_1", "relu_2", "convex_sum")
    change = _remove(graph, "conv_2")
    check(change.graph)
    assert not any(isinstance(node.layer, L.ConvexSum) for _, node in change.graph.items())
    assert change.graph["conv_3"].inputs == ("relu_1",)
    assert change.affected == ("conv_1", "bn_1", "conv_3", "bn_3")


# --- Affected nodes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "affected", "fitted", "measured"),
    [
        ("conv_1", ["conv_2", "bn_2"], "conv_2", ["bn_2"]),
        ("conv_2", ["conv_1", "bn_1", "conv_3", "bn_3"], "conv_3", ["bn_3"]),
        ("conv_3", ["conv_2", "bn_2", "logits"], "logits", []),
    ],
)
def test_neighbors_are_affected(node, affected, fitted, measured):
    change = _remove(small(), node)
    assert change.affected == tuple(affected)
    assert change.fit_repairs == (FitOutputs(fitted),)
    assert change.statistics_repairs == tuple(MeasureStatistics(name) for name in measured)
    assert change.repairs == (*change.fit_repairs, *change.statistics_repairs)
    assert count_parameters(change.graph) < count_parameters(small())


def test_neighbors_are_found_across_sums_and_concatenations():
    graph = tied()
    change = _remove(graph, "deep_conv")
    before = {f"{name}_{kind}" for name in ("trunk", "left", "right") for kind in ("conv", "bn")}
    assert set(change.affected) == before | {"depthwise", "depthwise_bn"}
    assert change.repairs == (MeasureStatistics("depthwise_bn"),)


def test_a_batch_norm_before_the_next_convolution_is_part_of_it():
    graph = _blocks(4, 4)
    at = stack(graph, "relu_2", L.BatchNormalization(), L.ReLU(), L.Conv2D(4), stem="next")
    graph.set_inputs("head_globalaveragepooling2d", [at])
    change = _remove(new_weights(graph), "conv_2")
    assert change.affected == ("conv_1", "bn_1", "next_batchnormalization", "next_conv2d")
    assert change.fit_repairs == (FitOutputs("next_conv2d"),)


def test_removing_an_identity_block_keeps_the_kernel():
    graph = _blocks(4, 4, 4, kernels=(3, 1, 3))
    graph = new_weights(graph)
    ones = np.ones(4, np.float32)
    weights = identity_normalization(0 * ones, ones, graph["bn_2"].layer.epsilon)
    graph.set_weights("bn_2", weights)
    graph.set_weights("conv_2", {"kernel": np.eye(4, dtype=np.float32)[None, None]})
    child = _remove(graph, "conv_2").graph
    np.testing.assert_allclose(
        child["conv_3"].weights["kernel"], graph["conv_3"].weights["kernel"], rtol=1e-6
    )


# --- Residual branches ---------------------------------------------------------------------------


def _residual(*, projected, order):
    """Return a network with trunk + branch, the trunk optionally through a projection."""
    graph = convolutions(4)
    trunk = graph.add("trunk", L.ReLU(), ["a"])
    at = graph.add("branch", L.Conv2D(4, 3), [trunk])
    branch = graph.add("branch_bn", L.BatchNormalization(), [at])
    if projected:
        trunk = graph.add("projection", L.Conv2D(4, 1), [trunk])
    graph.add("sum", L.Add(), [trunk, branch][::order])
    graph.add("relu", L.ReLU(), ["sum"])
    return new_weights(finished(graph, "relu"))


@pytest.mark.parametrize("order", [1, -1])
def test_a_residual_branch_is_removed(order):
    graph = _residual(projected=False, order=order)
    assert "sum" in _sites(graph)
    change = _remove(graph, "sum")
    check(change.graph)
    assert change.graph["relu"].inputs == ("trunk",)
    assert not {"branch", "branch_bn", "sum"} & set(change.graph)
    x = images(graph)
    np.testing.assert_array_equal(forward(change.graph, x)["trunk"], forward(graph, x)["trunk"])


def test_neither_of_two_branches_with_weights_is_removed():
    graph = _residual(projected=True, order=1)
    assert "sum" not in _sites(graph)
    reason = REMOVE.refusal(graph, RemoveSite("sum"))
    assert reason == (
        "'sum' is not the end of a skip or branch that can be removed: a convex sum, a"
        " concatenation whose consumers accept fewer channels, or an Add with weights in one branch"
        " only"
    )


def test_a_branch_with_another_consumer_is_not_removed():
    graph = _residual(projected=False, order=1)
    graph.add("more", L.Add(), ["relu", "branch_bn"])
    graph.redirect("relu", "more", exclude=["more"])
    check(graph)
    assert "sum" not in _sites(graph)
