"""The latency model on tables with made-up times."""

import json

import numpy as np
import pytest

from lemonade_tf.architecture import layers as kinds
from lemonade_tf.latency import KERAS, LITE, LatencyModel, LatencyTable, Protocol, fit
from lemonade_tf.latency.features import FEATURES
from lemonade_tf.latency.sample import sample_layers, sample_networks
from lemonade_tf.latency.table import Row, row_of
from lemonade_tf.operators import WidenConvolution
from lemonade_tf.search_spaces import NETWORKS

TRUE = LatencyModel(KERAS, tuple(10.0 ** -(6 + i % 4) for i in range(len(FEATURES))))


@pytest.fixture(scope="module")
def networks():
    initial = NETWORKS.initial_graphs((8, 8, 1), 10)
    return sample_networks(initial, NETWORKS.propose, rng=np.random.default_rng(0))


def table(graphs, noise=0.0, model=TRUE):
    rng = np.random.default_rng(1)
    rows = [
        row_of(g, model.seconds(g) * np.exp(noise * rng.normal()), model.runtime) for g in graphs
    ]
    return LatencyTable(model.runtime, (8, 8, 1), Protocol(), 1, rows)


def ranks(values):
    return np.argsort(np.argsort(values))


def test_fit_recovers_times_that_are_linear_in_the_features(networks):
    layers = sample_layers((8, 8, 1), 10, max_multiply_adds=1e7)
    model = fit(table(layers + networks[:12]))
    for graph in networks[12:]:
        assert model.seconds(graph) == pytest.approx(TRUE.seconds(graph), rel=1e-6)


def test_predicted_ranks_are_robust_to_noise(networks):
    layers = sample_layers((8, 8, 1), 10, max_multiply_adds=1e7)
    model = fit(table(layers + networks[:12], noise=0.2))
    found = ranks([model.seconds(g) for g in networks[12:]])
    expected = ranks([TRUE.seconds(g) for g in networks[12:]])
    assert np.corrcoef(found, expected)[0, 1] > 0.95


def test_fit_takes_networks_only_or_layers_only(networks):
    layers = sample_layers((8, 8, 1), 10, max_multiply_adds=1e7)
    for graphs in (networks, layers):
        model = fit(table(graphs))
        assert model.seconds(networks[0]) > 0


def test_layers_and_networks_have_the_same_importance_in_a_fit():
    """Nine layers of 1 s and a network of 2 s, which differ in nothing but their time."""
    passes = tuple(float(name == "passes") for name in FEATURES)
    rows = [*[Row("ReLU()", 1.0, passes)] * 9, Row("network", 2.0, passes)]
    model = fit(LatencyTable(KERAS, (8, 8, 1), Protocol(), 1, rows))
    # The minimum of (w - 1)^2 + (w / 2 - 1)^2, the relative errors.
    assert model.as_json()["passes"] == pytest.approx(1.2)


def test_more_work_never_predicts_less_time(networks):
    model = fit(table(networks, noise=0.5))
    assert min(model.weights) >= 0
    widen = WidenConvolution()
    for graph in networks:
        rng = np.random.default_rng(0)
        site = widen.candidates(graph)[0]
        wider = widen.apply(graph, site, rng=rng).graph
        assert model.seconds(wider) >= model.seconds(graph)


def test_predictions_are_positive_even_if_all_weights_are_0(networks):
    nothing = LatencyModel(KERAS, (0.0,) * len(FEATURES))
    assert nothing.seconds(networks[0]) == 1e-9


def test_lite_predicts_no_time_for_folded_layers(networks):
    weights = tuple(float(name == "normalizations") for name in FEATURES)
    graph = NETWORKS.initial_graphs((8, 8, 1), 10)[0]
    num_normalizations = sum(
        isinstance(node.layer, kinds.BatchNormalization) for _, node in graph.items()
    )
    assert LatencyModel(KERAS, weights).seconds(graph) == num_normalizations
    assert LatencyModel(LITE, weights).seconds(graph) == 1e-9


def test_json_round_trip():
    text = json.dumps(TRUE.as_json())
    assert LatencyModel.from_json(KERAS, json.loads(text)) == TRUE
