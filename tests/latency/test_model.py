"""The model on tables that are made up."""

import json

import numpy as np
import pytest

from lemonade_tf.architecture import layers as kinds
from lemonade_tf.latency import LatencyModel, LatencyTable, Protocol, fit
from lemonade_tf.latency.features import FEATURES
from lemonade_tf.latency.sample import sample_layers, sample_networks
from lemonade_tf.latency.table import row_of
from lemonade_tf.operators import WidenConvolution
from lemonade_tf.search_spaces import NETWORKS

TRUE = LatencyModel("latency", tuple(10.0 ** -(6 + i % 4) for i in range(len(FEATURES))))


@pytest.fixture(scope="module")
def networks():
    initial = NETWORKS.initial_graphs((8, 8, 1), 10)
    return sample_networks(initial, NETWORKS.propose, rng=np.random.default_rng(0))


def table(graphs, noise=0.0, model=TRUE):
    rng = np.random.default_rng(1)
    rows = [row_of(g, model.seconds(g) * np.exp(noise * rng.normal()), model.way) for g in graphs]
    return LatencyTable(model.way, (8, 8, 1), Protocol(), 1, rows)


def ranks(values):
    return np.argsort(np.argsort(values))


def test_times_that_are_such_a_sum_are_met_exactly(networks):
    layers = sample_layers((8, 8, 1), 10, most_multiply_adds=1e7)
    model = fit(table(layers + networks[:12]))
    for graph in networks[12:]:
        assert model.seconds(graph) == pytest.approx(TRUE.seconds(graph), rel=1e-6)


def test_the_ranks_survive_noise(networks):
    layers = sample_layers((8, 8, 1), 10, most_multiply_adds=1e7)
    model = fit(table(layers + networks[:12], noise=0.2))
    found = ranks([model.seconds(g) for g in networks[12:]])
    expected = ranks([TRUE.seconds(g) for g in networks[12:]])
    assert np.corrcoef(found, expected)[0, 1] > 0.95


def test_networks_alone_and_layers_alone_make_a_table(networks):
    layers = sample_layers((8, 8, 1), 10, most_multiply_adds=1e7)
    for graphs in (networks, layers):
        model = fit(table(graphs))
        assert model.seconds(networks[0]) > 0


def test_more_work_never_takes_less_time(networks):
    model = fit(table(networks, noise=0.5))
    assert min(model.weights) >= 0
    widen = WidenConvolution()
    for graph in networks:
        rng = np.random.default_rng(0)
        site = widen.candidates(graph)[0]
        wider = widen.apply(graph, site, rng=rng).graph
        assert model.seconds(wider) >= model.seconds(graph)


def test_a_time_has_a_logarithm_even_if_nothing_costs_anything(networks):
    nothing = LatencyModel("latency", (0.0,) * len(FEATURES))
    assert nothing.seconds(networks[0]) == 1e-9


def test_lite_does_not_count_what_it_folds(networks):
    weights = tuple(float(name == "normalizations") for name in FEATURES)
    graph = NETWORKS.initial_graphs((8, 8, 1), 10)[0]
    num_normalizations = sum(
        isinstance(node.layer, kinds.BatchNormalization) for _, node in graph.items()
    )
    assert LatencyModel("latency", weights).seconds(graph) == num_normalizations
    assert LatencyModel("lite_latency", weights).seconds(graph) == 1e-9


def test_json_round_trip():
    text = json.dumps(TRUE.as_json())
    assert LatencyModel.from_json("latency", json.loads(text)) == TRUE
