"""Searches with predicted inference times; the times of the front are measured and recorded."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from toy_training import Toy, cut, results, toy_executor, toy_search

from lemonade_tf.architecture.text import from_json, to_json
from lemonade_tf.config import ConfigError
from lemonade_tf.evolution import Individual
from lemonade_tf.executors import InProcessExecutor
from lemonade_tf.latency import KERAS, RUNTIMES, LatencyModel, LatencyTable, Protocol, measuring
from lemonade_tf.latency.features import FEATURES
from lemonade_tf.latency.table import row_of
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.objectives import LATENCY, LITE_LATENCY, OBJECTIVES, ObjectiveError
from lemonade_tf.presets import make_config
from lemonade_tf.report import table_rows
from lemonade_tf.runs import read_run
from lemonade_tf.search import driver
from lemonade_tf.search.measurements import Measurements
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.store import RunStore
from lemonade_tf.workers.tasks import ObjectiveTask

OBJECTIVE_NAMES = ("error", "parameters", *RUNTIMES)


def made_up_table(runtime, initial, propose, *, num_classes, threads, rng, on_progress=None):
    """Return a table of the initial networks alone, with made-up times."""
    if on_progress is not None:
        on_progress(len(initial), 360)
    model = LatencyModel(runtime, tuple(1e-9 * (1 + i % 3) for i in range(len(FEATURES))))
    rows = tuple(row_of(graph, model.seconds(graph), runtime) for graph in initial)
    shape = initial[0].shapes()[initial[0].input]
    return LatencyTable(runtime, shape, Protocol(), runtime.num_threads(threads), rows, "a toy")


@pytest.fixture(autouse=True)
def no_measuring(monkeypatch):
    monkeypatch.setattr(measuring, "measure_table", made_up_table)


def run_search(workdir, **settings):
    given = {"objectives": OBJECTIVE_NAMES, "in_process": True, **settings}
    return toy_search(workdir, **given)


def test_latencies_are_cheap_objectives():
    assert {LATENCY, LITE_LATENCY} <= set(OBJECTIVES)
    for objective in (LATENCY, LITE_LATENCY):
        assert (objective.cheap, objective.scale, objective.unit) == (True, "log", "s")
        assert objective.prepare is not None


def test_the_objective_is_the_predicted_time(tmp_path):
    result = run_search(tmp_path / "run")
    assert result.complete
    run = read_run(result.workdir)
    prepared = run.config.prepared
    assert set(prepared) == set(RUNTIMES)
    for way in RUNTIMES:
        table = LatencyTable.from_json(prepared[way])
        assert [row.is_layer for row in table.rows] == [False] * 4
        model = LatencyModel.from_json(RUNTIMES[way], prepared[way]["weights"])
        for line in run.trained:
            graph = from_json((tmp_path / "run" / f"models/{line.id}.h5").read_text())
            assert line.objectives[way] == model.seconds(graph)
            break


def test_each_network_of_the_front_is_measured_once(tmp_path):
    result = run_search(tmp_path / "run")
    run = read_run(result.workdir)
    lines = run.store.measurements.read()
    keys = [(line.objective, line.id) for line in lines]
    assert len(keys) == len(set(keys))
    assert {(way, row["id"]) for way in RUNTIMES for row in result.front} <= set(keys)
    predicted = {line.id: line.objectives for line in run.trained}
    for line in lines:
        assert line.predicted == predicted[line.id][line.objective]
        assert line.failure is None
        assert line.num_passes == 10
    header, rows = table_rows(run)
    assert header[2:8] == [
        "latency", "latency measured", "lite latency", "lite latency measured",
        "int8 latency", "int8 latency measured",
    ]  # fmt: skip
    assert all(text.endswith("s") for row in rows for text in row[2:8])


def test_an_asynchronous_search_measures_its_last_front(tmp_path):
    """Before, other networks are in training; and a replay predicts by the same tables."""
    run_search(tmp_path / "run", mode="asynchronous")
    run = read_run(tmp_path / "run")
    measured = {record.id for record in run.front()} | {record.id for record in run.front(0)}
    assert {way: set(run.measured[way]) for way in RUNTIMES} == dict.fromkeys(RUNTIMES, measured)
    run_search(tmp_path / "again", replay=str(tmp_path / "run"))
    assert results(tmp_path / "again") == results(tmp_path / "run")
    assert read_run(tmp_path / "again").config.prepared == run.config.prepared


def test_missing_measurements_are_taken_on_resume(tmp_path):
    result = run_search(tmp_path / "run")
    whole = RunStore.open(result.workdir).measurements.read()
    (result.workdir / "measurements.jsonl").unlink()
    assert run_search(result.workdir, resume=True).complete
    found = {line.id for line in RunStore.open(result.workdir).measurements.read()}
    assert found == {row["id"] for row in result.front}
    assert found <= {line.id for line in whole}


def test_measuring_stops_on_request_and_continues_later(tmp_path):
    result = run_search(tmp_path / "run", objectives=("error", "latency"))
    store = RunStore.open(result.workdir)
    (result.workdir / "measurements.jsonl").unlink()
    graph = NETWORKS.initial_graphs((8, 8, 1), 10)[0]
    front = [Individual(1, n, None, (), graph, {"latency": 1.0}) for n in range(4)]
    answers = iter([False, False, True])
    executor = InProcessExecutor(Toy)
    Measurements(store, ["latency"], "default").take(executor, front, lambda: next(answers))
    assert [line.id for line in store.measurements.read()] == ["1-0", "1-1"]
    Measurements(store, ["error", "latency"], "default").take(executor, front)
    assert [line.id for line in store.measurements.read()] == ["1-0", "1-1", "1-2", "1-3"]


def test_without_latencies_nothing_is_measured(tmp_path):
    result = run_search(tmp_path / "run", objectives=("error", "parameters"))
    assert not (result.workdir / "measurements.jsonl").exists()
    assert read_run(result.workdir).config.prepared == {}


def test_a_resumed_search_does_not_measure_again(tmp_path):
    whole = run_search(tmp_path / "whole")
    cut(tmp_path / "cut", 9, objectives=OBJECTIVE_NAMES)
    assert run_search(tmp_path / "cut", resume=True).complete
    assert results(tmp_path / "cut") == results(whole.workdir)
    keys = [
        [(line.objective, line.id) for line in read_run(path).store.measurements.read()]
        for path in (tmp_path / "cut", whole.workdir)
    ]
    assert len(keys[0]) == len(set(keys[0]))
    assert set(keys[0]) == set(keys[1])


def test_a_network_that_fails_is_recorded_with_its_failure(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FAULT", "unmeasured")
    result = run_search(tmp_path / "run", num_generations=1)
    assert result.complete
    lines = read_run(result.workdir).store.measurements.read()
    failed = [line for line in lines if line.failure]
    assert {line.failure for line in failed} == {"LiteError: no such operation"}
    assert all(line.measured is None for line in failed)
    assert any(line.failure is None for line in lines)


def test_the_search_survives_a_worker_that_dies_measuring(tmp_path, monkeypatch):
    chosen = {"objectives": ("error", "latency"), "latency_table": str(tmp_path / "previous")}
    run_search(tmp_path / "previous", objectives=("error", "latency"), num_generations=0)
    monkeypatch.setenv("TOY_FAULT", "die_measuring")
    result = run_search(tmp_path / "run", in_process=False, num_generations=1, **chosen)
    assert result.complete
    lines = read_run(result.workdir).store.measurements.read()
    assert lines
    assert all("died" in line.failure or "signal" in line.failure for line in lines)


def test_the_table_of_a_previous_run_is_reused(tmp_path, monkeypatch):
    first = run_search(tmp_path / "first")
    monkeypatch.setattr(measuring, "measure_table", None)  # it would raise
    second = run_search(tmp_path / "second", latency_table=str(tmp_path / "first"))
    assert results(second.workdir) == results(first.workdir)
    prepared = [read_run(path).config.prepared for path in (first.workdir, second.workdir)]
    assert prepared[0] == prepared[1]


def test_a_limit_may_be_on_a_latency_that_is_not_minimized(tmp_path):
    first = run_search(tmp_path / "first", num_generations=0)
    times = [line.objectives["latency"] for line in read_run(first.workdir).trained]
    result = run_search(
        tmp_path / "run", objectives=("error", "parameters"), limit={"latency": sorted(times)[1]}
    )
    run = read_run(result.workdir)
    assert set(run.config.prepared) == {"latency"}
    assert run.config.num_initial == 2
    assert not run.store.measurements.read()


def test_a_previous_run_without_a_valid_table_is_refused(tmp_path):
    first, by_latency = str(tmp_path / "first"), ("error", "latency")
    run_search(first, objectives=by_latency, num_generations=0)
    for given, message in [
        ({"latency_table": first}, "the run has no table of lite_latency"),
        ({"latency_table": str(tmp_path / "none")}, "none"),
        (
            {"latency_table": first, "threads": 2, "objectives": by_latency},
            "was measured with threads: 1; the search has threads: 2",
        ),
    ]:
        with pytest.raises(ConfigError, match=f"--latency_table .*{message}"):
            run_search(tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_a_failure_to_measure_the_table_is_a_one_line_error(tmp_path, monkeypatch):
    def failing(*_, **__):
        raise RuntimeError("no\ndevice")

    monkeypatch.setattr(measuring, "measure_table", failing)
    with pytest.raises(ObjectiveError, match=r"'latency' could not be .* RuntimeError: no d"):
        run_search(tmp_path / "run")


class Listener(Callback):
    def __init__(self):
        self.prepared, self.begun, self.ended = [], [], []

    def on_prepare(self, config, objectives):
        self.prepared.append((config.dataset, list(objectives)))

    def on_prepare_begin(self, preparation):
        self.begun.append((preparation.objective, preparation.progress()))

    def on_prepare_end(self, preparation):
        self.ended.append((preparation.objective, preparation.progress()))


def test_callbacks_receive_the_objectives_to_prepare(tmp_path):
    listener = Listener()
    run_search(tmp_path / "run", num_generations=0, callbacks=[listener])
    assert listener.prepared == [("digits", list(RUNTIMES))]
    # An executor of the user may be on another machine, which cannot tell how far it is.
    assert listener.begun == listener.ended == [(runtime, None) for runtime in RUNTIMES]


def test_callbacks_receive_the_progress_of_workers_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "search_workers", lambda *_, **__: toy_executor())
    listener, config = Listener(), make_config(objectives=("error", "latency"))
    network = to_json(NETWORKS.initial_graphs((8, 8, 1), 10)[0])
    task = ObjectiveTask("latency", (network,) * 3, "networks", 1, 0)
    [outcome] = driver._prepare([listener], None, None, 0.0, config, [task])
    assert outcome.failure is None
    assert (listener.begun, listener.ended) == ([("latency", None)], [("latency", (3, 360))])


@pytest.mark.parametrize("limit", [{"minutes": 5}, {"max_hours": 5 / 60}])
def test_measurements_that_exceed_the_budget_end_early(monkeypatch, limit):
    monkeypatch.setattr(driver, "search_workers", lambda *_, **__: toy_executor())
    config = make_config(objectives=("error", "latency"), **limit)
    task = ObjectiveTask(
        "latency", (to_json(NETWORKS.initial_graphs((8, 8, 1), 10)[0]),) * 3, "networks", 1, 0
    )
    for age, failure in ((100, None), (400, "3 of 360 measurements took 0 s, and the budget of")):
        [outcome] = driver._prepare([], None, None, time.monotonic() - age, config, [task])
        assert (outcome.failure or "").startswith(f"ObjectiveError: {failure}" if failure else "")
        assert (outcome.failure is None) == (failure is None)


def test_the_end_of_a_preparation_is_reported_whatever_happens(monkeypatch):
    class Interrupted(Callback):
        def on_prepare_begin(self, preparation):
            raise KeyboardInterrupt

    monkeypatch.setattr(driver, "search_workers", lambda *_, **__: toy_executor())
    listener, task = Listener(), ObjectiveTask("latency", (), "networks", 1, 0)
    with pytest.raises(KeyboardInterrupt):
        driver._prepare([listener, Interrupted()], None, None, 0.0, make_config(), [task])
    assert listener.ended == [("latency", None)]


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ConfigError, match="--latency_protocol is 'slow'; expected one of default"):
        make_config(latency_protocol="slow")


def test_a_table_of_another_version_is_refused():
    graph = NETWORKS.initial_graphs((8, 8, 1), 10)[0]
    table = made_up_table(
        KERAS, [graph], None, num_classes=10, threads=1, rng=np.random.default_rng(0)
    )
    values = {"weights": {}, **json.loads(json.dumps(table.as_json())), "format": 0}
    with pytest.raises(ObjectiveError, match=r"TableError: .* measure a new one"):
        LATENCY.with_prepared(values).value(graph)


# In a process of its own, as TensorFlow's number of threads is set once per process.
REAL_SEARCH = """
import sys
from functools import partial
from lemonade_tf.executors import InProcessExecutor
from lemonade_tf.latency import RUNTIMES, measuring
from lemonade_tf.presets import make_config
from lemonade_tf.search import search, worker_setup
measuring.measure_table = partial(measuring.measure_table, channels=(8,), num_networks=6)
objectives = ("error", "parameters", *RUNTIMES, "int8_error")
config = make_config("quick", objectives=objectives, num_generations=1, workdir=sys.argv[1])
assert search(config, executor=InProcessExecutor(worker_setup(config))).complete
"""


@pytest.mark.slow  # a minute: real tables, of fewer networks, and real training of seven networks
def test_a_search_with_real_tables_and_networks(tmp_path):
    """Use the real code throughout, from measuring the tables to the quantized networks."""
    subprocess.run([sys.executable, "-c", REAL_SEARCH, str(tmp_path / "run")], check=True)
    run = read_run(tmp_path / "run")
    for way in RUNTIMES:
        table = LatencyTable.from_json(run.config.prepared[way])
        assert len(table.rows) > 30
        assert table.seconds > 0
    lines = run.store.measurements.read()
    assert {(way, record.id) for way in RUNTIMES for record in run.front()} <= {
        (line.objective, line.id) for line in lines
    }
    for line in lines:
        assert line.failure is None
        assert 0 < line.measured < 1
        assert 0 < line.predicted < 1
    for line in run.trained:
        assert 0 <= line.objectives["int8_error"] <= 1
