"""Measuring for real, with as few passes as possible; how long they take is not asked."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pickle
from math import inf

import numpy as np
import pytest
from graphs import small

from lemonade_tf.architecture.text import to_json
from lemonade_tf.latency import LatencyTable, Measurement, Protocol, TableError, fit, measuring
from lemonade_tf.latency.measuring import measure_networks, measure_table, pass_of
from lemonade_tf.latency.measuring_task import MeasuringTask
from lemonade_tf.search_spaces import NETWORKS

QUICK = Protocol(
    batch_size=2, warm_up=1, group_seconds=0, least_groups=2, error=0, most_passes=2,
    most_seconds=inf,
)  # fmt: skip
SMALLER_GRAPH = small(shape=(8, 8, 1), widths=(4, 6))
SMALLER = to_json(SMALLER_GRAPH)
WAYS = ("latency", "lite_latency")


@pytest.fixture(scope="module")
def initial():
    return [g.copy(weights=False) for g in NETWORKS.initial_graphs((8, 8, 1), 10)]


@pytest.mark.parametrize("way", WAYS)
def test_networks_are_measured_one_after_the_other(initial, way):
    task = MeasuringTask(way, tuple(map(to_json, initial[:2])), QUICK, rounds=2)
    measured = measure_networks(pickle.loads(pickle.dumps(task)))
    assert len(measured.results) == 2
    for result in measured.results:
        assert isinstance(result, Measurement)
        assert 0 < result.seconds < 10
        assert result.num_passes == 2
    assert set(measured.versions) == {"keras", "tensorflow", "numpy"}
    assert "CPUs" in measured.machine
    assert pickle.loads(pickle.dumps(measured)) == measured


@pytest.mark.parametrize("way", WAYS)
def test_a_time_is_that_of_an_image_in_the_shortest_round(initial, way, monkeypatch):
    seconds = iter((8.0, 6.0, 9.0))
    fake = lambda run, protocol: Measurement(next(seconds), 1, 0.0)  # noqa: E731
    monkeypatch.setattr(measuring, "measure", fake)
    monkeypatch.setattr(measuring, "pass_of", lambda *_: None)
    measured = measure_networks(MeasuringTask(way, (to_json(initial[0]),), QUICK, rounds=3))
    assert measured.results[0].seconds == (3.0 if way == "latency" else 6.0)


def test_rounds_go_forth_and_back(initial, monkeypatch):
    told = []
    monkeypatch.setattr(measuring, "pass_of", lambda graph, *_: len(graph))
    monkeypatch.setattr(
        measuring, "measure", lambda run, _: told.append(run) or Measurement(1.0, 1, 0.0)
    )
    networks = (to_json(initial[0]), SMALLER)
    measure_networks(MeasuringTask("latency", networks, QUICK, rounds=3))
    a, b = len(initial[0]), len(SMALLER_GRAPH)
    assert told == [a, b, b, a, a, b]


def test_a_network_that_cannot_be_run_does_not_spoil_the_others(initial, monkeypatch):
    real = pass_of

    def failing(graph, *given):
        if len(graph) == len(initial[0]):
            raise RuntimeError("no such\nkernel")
        return real(graph, *given)

    monkeypatch.setattr(measuring, "pass_of", failing)
    networks = (to_json(initial[0]), SMALLER)
    first, second = measure_networks(MeasuringTask("latency", networks, QUICK, 2)).results
    assert first == "RuntimeError: no such kernel"
    assert isinstance(second, Measurement)


def test_an_unknown_way(initial):
    with pytest.raises(ValueError, match="way is 'walking'; expected one of latency, lite_lat"):
        pass_of(initial[0], "walking", 1)


def test_a_pass_takes_raw_pixels_to_probabilities(initial):
    probabilities = pass_of(initial[0], "latency", 3)()
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_a_table(initial, way):
    table = measure_table(
        way,
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
    assert table.threads == (3 if way == "latency" else 1)
    assert LatencyTable.from_json(json.loads(json.dumps(table.as_json()))) == table
    assert fit(table).seconds(initial[3]) > 0


def test_a_table_of_nothing_says_why(initial, monkeypatch):
    def failing(*_):
        raise RuntimeError("no device")

    monkeypatch.setattr(measuring, "pass_of", failing)
    with pytest.raises(TableError, match="could be measured for latency: RuntimeError: no device"):
        measure_table(
            "latency",
            initial,
            NETWORKS.propose,
            num_classes=10,
            threads=1,
            rng=np.random.default_rng(0),
        )
