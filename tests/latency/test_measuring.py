"""Measure real networks with as few passes as possible; their times are not tested."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pickle
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from graphs import small

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.text import to_json
from lemonade_tf.latency import (
    KERAS,
    LITE,
    RUNTIMES,
    LatencyTable,
    Measurement,
    Protocol,
    TableError,
    fit,
    measuring,
)
from lemonade_tf.latency.measuring import build_pass, measure_networks, measure_table
from lemonade_tf.latency.measuring_task import MeasuringTask
from lemonade_tf.search_spaces import NETWORKS

QUICK = Protocol(
    batch_size=2, warm_up=1, group_seconds=0, min_groups=2, max_standard_error=0, max_passes=2,
    max_seconds=inf,
)  # fmt: skip
SMALLER_GRAPH = small(shape=(8, 8, 1), widths=(4, 6))
SMALLER = to_json(SMALLER_GRAPH)


@pytest.fixture(scope="module")
def initial():
    return [g.copy(weights=False) for g in NETWORKS.initial_graphs((8, 8, 1), 10)]


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_measure_networks_returns_a_time_per_network(initial, runtime):
    task = MeasuringTask(runtime, tuple(map(to_json, initial[:2])), QUICK, rounds=2)
    measured = measure_networks(pickle.loads(pickle.dumps(task)))
    assert len(measured.results) == 2
    for result in measured.results:
        assert isinstance(result, Measurement)
        assert 0 < result.seconds < 10
        assert result.num_passes == 2
    assert set(measured.versions) == {"keras", "tensorflow", "numpy"}
    assert "CPUs" in measured.machine
    assert pickle.loads(pickle.dumps(measured)) == measured


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_the_shortest_round_counts_per_image(initial, runtime, monkeypatch):
    seconds = iter((8.0, 6.0, 9.0))
    fake = lambda run, protocol: Measurement(next(seconds), 1, 0.0)  # noqa: E731
    monkeypatch.setattr(measuring, "measure", fake)
    monkeypatch.setattr(measuring, "build_pass", lambda *_: None)
    measured = measure_networks(MeasuringTask(runtime, (to_json(initial[0]),), QUICK, rounds=3))
    assert measured.results[0].seconds == (3.0 if runtime == KERAS else 6.0)


def test_rounds_alternate_the_order(initial, monkeypatch):
    order = []
    monkeypatch.setattr(measuring, "build_pass", lambda graph, *_: len(graph))
    monkeypatch.setattr(
        measuring, "measure", lambda run, _: order.append(run) or Measurement(1.0, 1, 0.0)
    )
    networks = (to_json(initial[0]), SMALLER)
    measure_networks(MeasuringTask(KERAS, networks, QUICK, rounds=3))
    a, b = len(initial[0]), len(SMALLER_GRAPH)
    assert order == [a, b, b, a, a, b]


def test_a_network_that_fails_does_not_affect_the_others(initial):
    def compile_smaller(backend, graph, images):
        if len(graph) == len(initial[0]):
            raise RuntimeError("no such\nkernel")
        return KERAS.compile(backend, graph, images)

    networks = (to_json(initial[0]), SMALLER)
    runtime = replace(KERAS, compile=compile_smaller)
    first, second = measure_networks(MeasuringTask(runtime, networks, QUICK, 2)).results
    assert first == "RuntimeError: no such kernel"
    assert isinstance(second, Measurement)


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_measure_table_measures_layers_and_networks(initial, runtime):
    table = measure_table(
        runtime,
        initial,
        NETWORKS.propose,
        num_classes=10,
        threads=3,
        rng=np.random.default_rng(0),
        protocol=QUICK,
        channels=(4,),
        num_networks=2,
    )
    num_layers = len(table.rows) - 2
    assert [row.is_layer for row in table.rows] == [True] * num_layers + [False] * 2
    assert num_layers > 20
    assert table.input_shape == (8, 8, 1)
    assert table.threads == (3 if runtime == KERAS else 1)
    assert LatencyTable.from_json(json.loads(json.dumps(table.as_json()))) == table
    assert fit(table).seconds(initial[3]) > 0


def test_measure_table_reports_the_first_failure(initial):
    def fail(*_):
        raise RuntimeError("no device")

    message = "no network could be measured for latency; .* RuntimeError: no device"
    with pytest.raises(TableError, match=message):
        measure_table(
            replace(KERAS, compile=fail),
            initial,
            NETWORKS.propose,
            num_classes=10,
            threads=1,
            rng=np.random.default_rng(0),
        )


def test_a_pass_in_keras_maps_raw_pixels_to_probabilities():
    [graph, *_] = NETWORKS.initial_graphs((8, 8, 1), 10)
    probabilities = build_pass(graph.copy(weights=False), KERAS, Protocol(batch_size=3))()
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_a_pass_receives_a_batch_and_a_convex_sum_of_both_terms():
    graph = Graph()
    x = graph.add("input", kinds.Input((4, 4, 3)))
    graph.output = graph.add("sum", kinds.ConvexSum(), [x, x])
    received = []

    def compile_nothing(backend, graph, images):
        received.append((float(graph["sum"].weights["lambda"]), images.shape, images.dtype))
        return lambda: None

    for runtime in (KERAS, LITE):
        build_pass(graph, replace(runtime, compile=compile_nothing), Protocol(batch_size=5))
    assert received == [
        (pytest.approx(0.3), (5, 4, 4, 3), np.uint8),
        (pytest.approx(0.3), (1, 4, 4, 3), np.uint8),
    ]
