"""Layers after pruned or removed ones are fitted to their outputs in the parent."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from graphs import EXACT, GRAPHS, images, random_chain, small, tied

from lemonade_tf.inheritance.batch_statistics import measure_statistics
from lemonade_tf.inheritance.fitted_start import fit_outputs
from lemonade_tf.keras_bridge import load_graph, read_weights, to_keras
from lemonade_tf.operators import (
    APPROXIMATE,
    APPROXIMATE_IN_CELLS,
    Change,
    FitOutputs,
    InsertConvolution,
    PruneFilters,
    Remove,
    SeparateConvolution,
    WidenConvolution,
)
from lemonade_tf.operators.deepen import InsertSite
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.operators.morphisms import insert_linear
from lemonade_tf.operators.prune import PruneSite
from lemonade_tf.operators.remove import RemoveSite
from lemonade_tf.search_spaces import CellSpace
from lemonade_tf.training.epsilon import epsilon

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)


def rng():
    return np.random.default_rng(0)


def model_of(graph):
    return to_keras(graph, learnable=True)


def fit(change, parent, images=IMAGES):
    """Return the graph of the child after the fit, and the names of the fitted layers."""
    model = model_of(change.graph)
    names = fit_outputs(change, parent, model_of(parent), model, images, rng=rng())
    return read_weights(model, change.graph), names


def values_of(graph, name, images=IMAGES):
    model = model_of(graph)
    part = keras.Model(model.input, model.get_layer(name).output)
    return np.asarray(part(images.astype(np.float32)))


def with_twins():
    """Return a network whose filters 4 to 7 are multiples of filters 0 to 3."""
    graph = small()
    kernel = graph["conv_2"].weights["pointwise_kernel"].copy()
    kernel[..., 4:] = 0.5 * kernel[..., :4]
    graph.set_weights("conv_2", {**graph["conv_2"].weights, "pointwise_kernel": kernel})
    shares = {"gamma": 1.0, "beta": 1.0, "moving_mean": 0.5, "moving_variance": 0.25}
    weights = {key: value.copy() for key, value in graph["bn_2"].weights.items()}
    for key, share in shares.items():
        weights[key][4:] = share * weights[key][:4]
    graph.set_weights("bn_2", weights)
    return graph


def test_pruned_filters_that_depend_linearly_on_others_are_replaced():
    parent = with_twins()
    change = PruneFilters().apply(parent, PruneSite("conv_2", "1/2"), rng=rng())
    assert list(change.sources["conv_2"]) == [0, 1, 2, 3]
    child, names = fit(change, parent)
    assert names == ("conv_3",)
    desired = values_of(parent, "bn_3")

    def off(graph):
        return np.abs(values_of(graph, "bn_3") - desired).mean()

    assert off(child) < 0.05 * off(change.graph)


@pytest.mark.parametrize("operator", APPROXIMATE, ids=lambda o: o.name)
def test_fitting_brings_a_trained_network_closer_to_its_parent(parent_file, digits, operator):
    parent = load_graph(parent_file)
    images = digits.x_train[:256]
    gains = []
    for site in operator.candidates(parent):
        change = operator.apply(parent, site, rng=rng())
        plain, better = model_of(change.graph), model_of(change.graph)
        fit_outputs(change, parent, model_of(parent), better, images, rng=rng())
        found = []
        for model in (plain, better):
            measure_statistics(change.statistics_repairs, change.graph, model, images)
            child = np.asarray(model(digits.x_validation))
            teacher = np.asarray(model_of(parent)(digits.x_validation))
            found.append(epsilon(teacher, child)["kl"])
        gains.append(found[1] / found[0])
    assert max(gains) < 1.1
    assert np.median(gains) < 0.6


def test_only_the_fitted_layers_change(parent_file, digits, assert_equal_weights):
    parent = load_graph(parent_file)
    change = PruneFilters().apply(parent, PruneSite("conv_2", "1/2"), rng=rng())
    child, names = fit(change, parent, digits.x_train[:64])
    assert names == ("conv_3",)
    assert_equal_weights(change.graph, child, exclude=frozenset({*names, "bn_3"}))
    for key, value in child["bn_3"].weights.items():
        assert np.array_equal(value, change.graph["bn_3"].weights[key]) == (key != "moving_mean")
    kernel = child["conv_3"].weights["kernel"]
    assert not np.array_equal(kernel, change.graph["conv_3"].weights["kernel"])


def test_the_seed_determines_the_fit(parent_file, digits, assert_equal_weights):
    parent = load_graph(parent_file)
    change = PruneFilters().apply(parent, PruneSite("conv_1", "1/2"), rng=rng())
    first, _ = fit(change, parent, digits.x_train)
    second, _ = fit(change, parent, digits.x_train)
    assert_equal_weights(first, second)


def test_fits_of_tied_channels_are_finite():
    parent = tied()
    images = np.random.default_rng(0).integers(0, 256, (32, *parent[parent.input].layer.shape))
    for operator in APPROXIMATE:
        for site in operator.candidates(parent):
            change = operator.apply(parent, site, rng=rng())
            child, names = fit(change, parent, images.astype(np.uint8))
            assert {r.node for r in change.fit_repairs} >= set(names)
            for node in names:
                assert all(np.isfinite(v).all() for v in child[node].weights.values())


def test_layers_in_all_cells_are_fitted():
    space = CellSpace(filters=(16,), cells_per_block=1)
    parent = initial_weights(space.initial_graphs((8, 8, 3), 4)[0], rng=rng())
    prune = next(o for o in APPROXIMATE_IN_CELLS if o.name == "prune_filters_in_cells")
    change = prune.apply(parent, prune.candidates(parent)[0], rng=rng())
    _, names = fit(change, parent)
    assert len(names) >= 5
    assert names == tuple(r.node for r in change.fit_repairs)


def test_layers_that_the_parent_does_not_have_are_skipped():
    parent = small()
    child = parent.copy()
    new = insert_linear(child, "relu_1", 3)
    change = Change(child, (new, "conv_2"), (FitOutputs(new), FitOutputs("conv_2")))
    assert fit(change, parent)[1] == ("conv_2",)
    assert fit(Change(child, (new,), (FitOutputs(new),)), parent)[1] == ()


def test_a_new_layer_is_not_fitted_to_a_removed_one_of_the_same_name():
    parent, change = small(widths=(8, 8, 8)), None
    for operator, site in [
        (Remove(), RemoveSite("conv_2")),
        (InsertConvolution(), InsertSite("pool_1", 3)),
        (PruneFilters(), PruneSite("conv_1", "1/2")),
    ]:
        step = operator.apply(change.graph if change else parent, site, rng=rng())
        change = change.followed_by(step) if change else step
    assert FitOutputs("conv_2") in change.fit_repairs  # its inputs were pruned
    assert change.graph.shapes()["conv_2"] == parent.shapes()["conv_2"]
    assert "conv_2" not in fit(change, parent)[1]


def test_a_separated_convolution_is_fitted_from_the_kernel_in_the_parent(assert_equal_weights):
    parent, operator = small(), SeparateConvolution()
    (site, *_) = operator.candidates(parent)
    change = operator.apply(parent, site, rng=rng())
    weights = change.graph[site.node].weights
    random = change.graph.copy()
    random.set_weights(
        site.node, {key: rng().normal(size=value.shape) for key, value in weights.items()}
    )
    child, names = fit(change, parent)
    assert site.node in names
    same, _ = fit(replace(change, graph=random), parent)
    assert_equal_weights(child, same)


@pytest.mark.parametrize("operator", [PruneFilters(), WidenConvolution()], ids=lambda o: o.name)
def test_a_separated_convolution_may_change_its_filters(operator):
    parent = small()
    separate = SeparateConvolution()
    (site, *_) = separate.candidates(parent)
    first = separate.apply(parent, site, rng=rng())
    second = next(s for s in operator.candidates(first.graph) if s.node == site.node)
    change = first.followed_by(operator.apply(first.graph, second, rng=rng()))
    child, names = fit(change, parent)
    assert site.node in names
    assert child.shapes() == change.graph.shapes()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_fits_after_any_three_operators_are_finite(make, seed):
    parent, generator = make(), np.random.default_rng(seed)
    chain = random_chain(parent, (*EXACT, *APPROXIMATE), 3, generator, retrained=False)
    change = Change(parent, ())
    for _, _, _, step in chain:
        change = change.followed_by(step)
    some = images(parent, number=24)
    model = model_of(change.graph)
    names = fit_outputs(change, parent, model_of(parent), model, some, rng=generator)
    assert set(names) <= {repair.node for repair in change.fit_repairs}
    measure_statistics(change.statistics_repairs, change.graph, model, some)
    for name, node in read_weights(model, change.graph).items():
        for key, value in node.weights.items():
            assert np.isfinite(value).all(), (name, key)
