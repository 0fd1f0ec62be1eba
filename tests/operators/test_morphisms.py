"""The four types of A.0.1: each keeps the function and follows its equation.

Values are computed by the reference in float64.
"""

import numpy as np
import pytest
from graphs import images, small
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference import forward, relative_difference

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.channel_groups import FRESH, channel_groups
from lemonade_tf.operators.initial import glorot_uniform
from lemonade_tf.operators.morphisms import (
    append_channels,
    append_input,
    blend,
    identity_kernel,
    identity_normalization,
    insert_affine,
    insert_linear,
    repeat_idempotent,
)

BATCH = images(small())


def edited(edit):
    """Return a graph, an edited copy of it, and the return value of the edit."""
    before = small()
    after = before.copy()
    made = edit(after)
    check(after)
    return before, after, made


def assert_same_function(before, after, atol=1e-10):
    assert relative_difference(before, after, BATCH) < atol


# --- Type I --------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", ["conv_2", "bn_1", "relu_3"])
def test_equation_4_inserts_the_identity(node):
    before, after, made = edited(lambda g: insert_linear(g, node, 3))
    values = forward(after, BATCH)
    np.testing.assert_array_equal(values[made], values[node])  # A' N + b', bit for bit
    assert after[made].inputs == (node,)
    assert after.consumers(node) == (made,)
    assert_same_function(before, after)


@pytest.mark.parametrize("node", ["conv_2", "relu_3"])
def test_equation_5_inverts_the_normalization(node):
    before, after, made = edited(lambda g: insert_affine(g, node, like=node))
    weights = {k: v.astype(np.float64) for k, v in after[made].weights.items()}
    deviation = np.sqrt(weights["moving_variance"] + after[made].layer.epsilon)
    a, b = 1 / deviation, -weights["moving_mean"] / deviation
    c, d = weights["gamma"], weights["beta"]
    np.testing.assert_allclose(c, 1 / a, rtol=1e-10)
    np.testing.assert_allclose(d, -c * b, rtol=1e-10, atol=1e-12)
    assert_same_function(before, after)


# --- Type II -------------------------------------------------------------------------------------


def test_equation_6_with_random_filters():
    def edit(graph):
        (group,) = channel_groups(graph).groups_of("conv_1")
        source = np.append(np.arange(6), [FRESH] * 2)
        rng = np.random.default_rng(1)
        return append_channels(graph, {group: source}, lambda _, shape: glorot_uniform(shape, rng))

    before, after, change = edited(edit)
    assert change.absorbers == ("conv_2",)
    pointwise = after["conv_2"].weights["pointwise_kernel"]  # (A A')
    np.testing.assert_array_equal(pointwise[:, :, :6], before["conv_2"].weights["pointwise_kernel"])
    np.testing.assert_array_equal(pointwise[:, :, 6:], 0)
    kernel = after["conv_1"].weights["kernel"]  # (h, h')
    np.testing.assert_array_equal(kernel[..., :6], before["conv_1"].weights["kernel"])
    assert np.abs(kernel[..., 6:]).min() > 0
    assert_same_function(before, after)


def test_equation_6_with_copies_of_filters():
    def edit(graph):
        (group,) = channel_groups(graph).groups_of("conv_1")
        return append_channels(graph, {group: np.append(np.arange(6), [0, 1])}, lambda *_: None)

    before, after, _ = edited(edit)
    values = forward(after, BATCH)["pool_1"]
    np.testing.assert_array_equal(values[..., 6:], values[..., :2])  # h' = h
    whole = before["conv_2"].weights["pointwise_kernel"][:, :, :2].astype(np.float64)
    parts = after["conv_2"].weights["pointwise_kernel"].astype(np.float64)
    np.testing.assert_allclose(parts[:, :, :2] + parts[:, :, 6:], whole, rtol=1e-7)
    assert_same_function(before, after)


def test_equation_6_with_an_earlier_node():
    def edit(graph):
        graph.add("other", L.MaxPooling2D(2), ["relu_2"])
        return append_input(graph, "relu_3", "other")

    before, after, (merge, change) = edited(edit)
    assert after[merge] == type(after[merge])(L.Concatenate(), ("relu_3", "other"), {})
    np.testing.assert_array_equal(change.sources[merge], [*range(10), *[FRESH] * 8])
    kernel = after["logits"].weights["kernel"]
    np.testing.assert_array_equal(kernel[:10], before["logits"].weights["kernel"])
    np.testing.assert_array_equal(kernel[10:], 0)
    assert_same_function(before, after)


# --- Types III and IV ----------------------------------------------------------------------------


def test_equation_7_repeats_a_relu():
    before, after, made = edited(lambda g: repeat_idempotent(g, "pool_1", L.ReLU(), "relu"))
    values = forward(after, BATCH)
    np.testing.assert_array_equal(values[made], values["pool_1"])
    assert after["conv_2"].inputs == (made,)
    assert_same_function(before, after, atol=1e-15)


def test_equation_8_blends_by_lambda():
    def edit(graph):
        graph.add("bent", L.Activation("tanh"), ["relu_2"])  # h: any function
        return blend(graph, "relu_2", "bent")

    before, after, merge = edited(edit)
    assert after[merge].weights["lambda"] == 0
    assert after[merge].inputs == ("relu_2", "bent")
    assert after["pool_2"].inputs == (merge,)
    assert after["bent"].inputs == ("relu_2",)  # h keeps its input
    assert_same_function(before, after, atol=1e-15)
    after.set_weights(merge, {"lambda": np.float32(0.25)})
    values = forward(after, BATCH)
    mixed = 0.75 * values["relu_2"] + 0.25 * values["bent"]  # (1 - lambda) x + lambda y
    np.testing.assert_allclose(values[merge], mixed, rtol=1e-12)


@pytest.mark.parametrize("merge", [append_input, blend])
def test_nodes_that_the_other_node_depends_on_keep_their_input(merge):
    def edit(graph):
        graph.add("between", L.ReLU(), ["relu_2"])
        graph.add("other", L.Activation("tanh"), ["between"])
        return merge(graph, "relu_2", "other")

    before, after, _ = edited(edit)
    assert after["between"].inputs == ("relu_2",)
    assert after["pool_2"].inputs not in {("relu_2",), ("other",)}
    assert_same_function(before, after)


@pytest.mark.parametrize(
    "edit",
    [
        lambda g: insert_linear(g, "relu_1", 5),
        lambda g: insert_affine(g, "relu_1", like="relu_1"),
        lambda g: blend(g, "relu_2", "relu_2"),
        lambda g: append_input(g, "relu_2", "relu_2"),
    ],
)
def test_shapes_and_weights_are_edited_alike(edit):
    shapes, weighted = small().copy(weights=False), small()
    edit(shapes)
    edit(weighted)
    check(shapes)
    assert [(n, x.layer, x.inputs) for n, x in shapes.items()] == [
        (n, x.layer, x.inputs) for n, x in weighted.items()
    ]


# --- Weights -------------------------------------------------------------------------------------


def test_identity_kernel_has_shape_and_type():
    kernel = identity_kernel(3, 4)
    assert (kernel.shape, kernel.dtype) == ((3, 3, 4, 4), np.float32)


VARIANCES = arrays(np.float32, 5, elements=st.floats(0, 2**20, width=32, allow_subnormal=False))
MEANS = arrays(np.float32, 5, elements=st.floats(-100, 100, width=32))


@settings(deadline=None)
@given(MEANS, VARIANCES, st.sampled_from([1e-3, 1e-5]))
def test_identity_normalization_inverts_itself(mean, variance, epsilon):
    weights = identity_normalization(mean, variance, epsilon)
    gamma, new = (weights[k].astype(np.float64) for k in ("gamma", "moving_variance"))
    np.testing.assert_allclose(gamma / np.sqrt(new + epsilon), 1, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(weights["beta"], mean)
    np.testing.assert_array_equal(weights["moving_mean"], mean)
    assert (new >= 0).all()
    np.testing.assert_allclose(new + epsilon, variance + epsilon, rtol=1.1e-3)
    assert all(value.dtype == np.float32 for value in weights.values())
