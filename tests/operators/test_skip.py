"""Skips: where they apply, their layers, and that none is added twice."""

import numpy as np
import pytest
from graphs import convolutions, finished, images, new_weights, small, tied
from reference import forward, relative_difference

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as L
from lemonade_tf.operators import AddSkip
from lemonade_tf.operators.skip import SkipSite, resampling, skips

SKIP = AddSkip()


def _add(graph, source, target, kind):
    return SKIP.apply(graph, SkipSite(source, target, kind), rng=np.random.default_rng(0))


def test_project_forces_a_1x1_convolution():
    graph = small(widths=(6, 6, 6))
    site = SkipSite("relu_1", "relu_2", "convex_sum")
    rng = np.random.default_rng(0)
    assert "skip_conv_1" not in SKIP.apply(graph, site, rng=rng).graph
    change = SKIP.add_skip(graph.copy(), site, rng, project=True)
    check(change.graph)
    assert change.graph["skip_conv_1"].layer == L.Conv2D(6, 1)
    assert relative_difference(graph, change.graph, images(graph)) < 1e-10


def test_refusals():
    graph = convolutions(4, 4)
    for n in "ab":
        graph.add(f"relu_{n}", L.ReLU(), [n])
    graph.add("sum", L.Add(), ["relu_a", "relu_b"])
    graph.add("last", L.Activation("silu"), ["sum"])
    graph.add("tall", L.ZeroPadding2D(3), ["last"])
    graph.add("tall_relu", L.ReLU(), ["tall"])
    finished(graph, graph.add("c", L.Conv2D(4), ["tall_relu"]))
    for source, target, kind, reason in [
        (
            "a",
            "last",
            "convex_sum",
            "'a' (Conv2D) is not an elementwise activation; skips",
        ),
        ("relu_b", "relu_a", "convex_sum", "'relu_a' does not depend on 'relu_b'"),
        (
            "last",
            "tall_relu",
            "convex_sum",
            "no pooling reduces the (6, 6) of 'last' to the (12, 12) of 'tall_relu'",
        ),
        ("relu_a", "last", "sum", "the kind is 'sum'; expected 'concatenate' or 'convex_sum'"),
        ("relu_a", "lost", "convex_sum", "there is no layer 'lost'. Similar names: last"),
        ("relu_a", "head_softmax", "convex_sum", "there is no layer 'head_softmax'"),
        (
            "relu_a",
            "head_activation",
            "convex_sum",
            "'head_activation' (Activation) is not an elementwise activation",
        ),
    ]:
        assert reason in SKIP.refusal(graph, SkipSite(source, target, kind)), reason
    assert SKIP.refusal(graph, SkipSite("relu_a", "last", "convex_sum")) is None
    graph.set_inputs("b", ["relu_a"])
    reason = SKIP.refusal(graph, SkipSite("relu_a", "relu_b", "concatenate"))
    assert reason == (
        "channels cannot be appended to 'relu_b', because a sum, a product, a grouped convolution"
        " or the output consumes it; kind='convex_sum' is possible there"
    )


# --- Sites ---------------------------------------------------------------------------------------


def test_sites_of_a_small_network():
    assert set(SKIP.candidates(small())) == {
        SkipSite(source, target, kind)
        for source, target in (("relu_1", "relu_2"), ("relu_1", "relu_3"), ("relu_2", "relu_3"))
        for kind in ("concatenate", "convex_sum")
    }


def test_a_concatenation_applies_only_where_channels_can_be_appended():
    sites = SKIP.candidates(tied())
    by_kind = {
        kind: {site.target for site in sites if site.kind == kind}
        for kind in ("concatenate", "convex_sum")
    }
    assert by_kind["convex_sum"] == {"left", "right", "deep", "depthwise_relu", "small"}
    assert by_kind["concatenate"] == {"depthwise_relu", "small"}


def test_no_skip_ends_at_the_output_or_at_a_vector():
    graph = convolutions(3)
    graph.add("first", L.ReLU(), ["a"])
    graph.add("conv", L.Conv2D(3), ["first"])
    graph.output = graph.add("last", L.ReLU(), ["conv"])
    assert SKIP.candidates(graph) == ()
    assert SKIP.refusal(graph, SkipSite("first", "last", "convex_sum")) == "'last' is the output"
    graph.output = graph.add("pool", L.GlobalAveragePooling2D(), ["last"])
    graph.output = graph.add("dense", L.Dense(3), ["pool"])
    graph.output = graph.add("relu", L.ReLU(), ["dense"])
    graph.output = graph.add("logits", L.Dense(3), ["relu"])
    assert {(site.source, site.target) for site in SKIP.candidates(graph)} == {("first", "last")}


def test_no_skip_runs_between_parallel_branches():
    graph = convolutions(3, 3)
    left, right = (graph.add(f"relu_{n}", L.ReLU(), [n]) for n in "ab")
    finished(graph, graph.add("sum", L.Add(), [left, right]))
    assert SKIP.candidates(graph) == ()


def test_no_skip_leads_to_a_larger_image():
    graph = convolutions(3, shape=(4, 4, 2))
    graph.add("first", L.ReLU(), ["a"])
    graph.add("padded", L.ZeroPadding2D(2), ["first"])
    finished(graph, graph.add("last", L.ReLU(), ["padded"]))
    assert SKIP.candidates(graph) == ()


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ((8, 8, 3), (8, 8, 5), ()),
        ((8, 8, 3), (4, 4, 5), (L.MaxPooling2D(2),)),
        ((9, 7, 3), (4, 3, 5), (L.MaxPooling2D(2),)),
        ((9, 7, 3), (5, 4, 5), (L.MaxPooling2D(2, padding="same"),)),
        ((9, 8, 3), (2, 2, 5), (L.MaxPooling2D(4),)),
        ((9, 8, 3), (1, 1, 5), (L.MaxPooling2D((9, 8)),)),
        ((7, 7, 3), (2, 2, 5), (L.MaxPooling2D(3),)),
        ((9, 8, 3), (9, 4, 5), (L.MaxPooling2D((1, 2)),)),
        ((4, 4, 3), (8, 8, 5), None),
        ((8, 4, 3), (4, 8, 5), None),
        ((10, 10, 3), (7, 7, 5), None),
    ],
)
def test_resampling(source, target, expected):
    assert resampling(source, target) == expected
    for layer in expected or ():
        assert layer.output_shape(source)[:2] == target[:2]


# --- Layers of a skip ----------------------------------------------------------------------------


def test_a_concatenation_pools_the_source_and_adds_zero_weights():
    graph = small()
    change = _add(graph, "relu_1", "relu_3", "concatenate")
    child = change.graph
    pool, merge = (n for n in child if n not in graph)
    assert child[pool].layer == L.MaxPooling2D(4)
    assert child[pool].inputs == ("relu_1",)
    assert child[merge].layer == L.Concatenate()
    assert child[merge].inputs == ("relu_3", pool)
    assert child["global_pool"].inputs == (merge,)
    kernel = child["logits"].weights["kernel"]
    np.testing.assert_array_equal(kernel[:10], graph["logits"].weights["kernel"])
    assert (kernel[10:] == 0).all()
    assert len(kernel) == 16
    assert change.affected == (pool, merge, "logits")
    assert change.repairs == ()


def test_a_concatenation_through_a_batch_norm():
    graph = convolutions(3)
    graph.add("first", L.ReLU(), ["a"])
    graph.add("second", L.ReLU(), [graph.add("b", L.Conv2D(4), ["first"])])
    graph.add("bn", L.BatchNormalization(), ["second"])
    finished(graph, graph.add("depthwise", L.DepthwiseConv2D(), ["bn"]))
    graph = new_weights(graph)
    change = _add(graph, "first", "second", "concatenate")
    check(change.graph)
    assert relative_difference(graph, change.graph, images(graph)) < 1e-12
    (repair,) = change.repairs
    assert (repair.node, repair.channels) == ("bn", (4, 5, 6))
    assert set(change.affected) == {"skip_concat_1", "bn", "depthwise", "head_dense"}
    assert (change.graph["depthwise"].weights["kernel"][:, :, 4:] != 0).all()


def test_a_convex_sum_of_equal_widths_has_no_convolution():
    graph = small(widths=(6, 6, 6))
    change = _add(graph, "relu_1", "relu_2", "convex_sum")
    child = change.graph
    pool, merge = (n for n in child if n not in graph)
    assert child[merge].layer == L.ConvexSum()
    assert child[merge].inputs == ("relu_2", pool)
    assert child["pool_2"].inputs == (merge,)
    assert child[merge].weights["lambda"] == 0
    assert child[merge].weights["lambda"].dtype == np.float32
    assert change.affected == (pool, merge)


def test_a_convex_sum_of_unequal_widths_has_a_convolution():
    graph = small()
    change = _add(graph, "relu_1", "relu_2", "convex_sum")
    child = change.graph
    pool, conv, merge = change.affected
    assert child[conv].layer == L.Conv2D(8, 1)
    assert child[conv].inputs == (pool,)
    assert (child[conv].weights["kernel"] != 0).all()
    assert child[merge].inputs == ("relu_2", conv)


def test_lambda_blends_in_the_skip():
    graph = small(widths=(6, 6, 6))
    child = _add(graph, "relu_1", "relu_2", "convex_sum").graph
    _, merge = (n for n in child if n not in graph)
    child.set_weights(merge, {"lambda": np.float32(0.25)})
    values = forward(child, images(child))
    np.testing.assert_allclose(
        values[merge], 0.75 * values["relu_2"] + 0.25 * values[child[merge].inputs[1]]
    )
    assert relative_difference(graph, child, images(child)) > 1e-3


def test_skips_between_images_of_odd_sizes_keep_the_function():
    graph = small(shape=(9, 7, 3))
    for site in SKIP.candidates(graph):
        child = SKIP.apply(graph, site, rng=np.random.default_rng(0)).graph
        check(child)
        assert relative_difference(graph, child, images(graph)) < 1e-12
    assert len(SKIP.candidates(graph)) == 6


# --- Existing skips ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["concatenate", "convex_sum"])
def test_an_existing_skip_is_no_candidate(kind):
    graph = small()
    for site in SKIP.candidates(graph):
        if site.kind == kind:
            child = SKIP.apply(graph, site, rng=np.random.default_rng(0)).graph
            assert list(skips(child)) == [site]
            assert site not in SKIP.candidates(child)


def test_candidates_run_out():
    graph, number = small(), 0
    original = set(graph)
    while sites := [s for s in SKIP.candidates(graph) if {s.source, s.target} <= original]:
        before = set(skips(graph))
        graph = SKIP.apply(graph, sites[0], rng=np.random.default_rng(0)).graph
        assert set(skips(graph)) == before | {sites[0]}
        number += 1
    assert number == 5  # of six; a concatenation does not apply after a convex sum


def test_a_skip_can_start_at_the_end_of_another():
    child = _add(small(), "relu_1", "relu_2", "convex_sum").graph
    sources = {site.source for site in SKIP.candidates(child) if site.target == "relu_3"}
    assert sources == {"relu_1", "relu_2", "skip_sum_1"}


def test_no_concatenation_applies_after_a_convex_sum():
    child = _add(small(), "relu_1", "relu_3", "convex_sum").graph
    kinds = {site.kind for site in SKIP.candidates(child) if site.target == "relu_3"}
    assert kinds == {"convex_sum"}
