"""A search with real training on a small data set."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from lemonade_tf import load_graph
from lemonade_tf.architecture import check
from lemonade_tf.architecture.cells import extract_cell
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.config import ConfigError
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.executors import WorkerSetupError
from lemonade_tf.operators import replay
from lemonade_tf.presets import make_config
from lemonade_tf.runs import read_run
from lemonade_tf.search import Callback, SearchError, SearchResult, search
from lemonade_tf.search_spaces import NETWORKS, augment
from lemonade_tf.store import StoreError

TINY = {
    "num_generations": 2,
    "num_proposed": 8,
    "num_accepted": 3,
    "epochs": 1,
    "distillation_epochs": 1,
    "learning_rate": 0.05,
    "pad": 1,
    "flip": False,
    "cutout": 2,
    "mixup": 0.1,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A small data set with something to learn: bright or dark quadrants."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 260)
    pixels = rng.integers(0, 90, (260, 8, 8, 1))
    for image, label in zip(pixels, labels, strict=True):
        image[4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 120
    path = tmp_path_factory.mktemp("data") / "quadrants.npz"
    x, y = pixels.astype(np.uint8), labels
    np.savez(path, x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    return path


class Recorder(Callback):
    def __init__(self):
        self.events = []

    def on_search_begin(self, state):
        self.events.append("search begin")

    def on_generation_begin(self, state, proposals):
        self.events.append(f"generation {state.generation}: {len(proposals)} proposals")

    def on_network_end(self, state, record):
        self.events.append(record.id)

    def on_generation_end(self, state):
        self.events.append(f"population {len(state.front)}")

    def on_search_end(self, state):
        self.events.append("end")


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """A finished small search: (result, recorder)."""
    recorder = Recorder()
    workdir = tmp_path_factory.mktemp("runs") / "run"
    settings = {**TINY, "dataset": str(images), "workdir": str(workdir), "workers": 2}
    return search(make_config("paper", **settings), callbacks=[recorder]), recorder


def test_a_search_leaves_a_front_of_trained_networks(finished):
    result, _ = finished
    assert isinstance(result, SearchResult)
    assert result.complete
    run = read_run(result.workdir)
    assert [line.id for line in run.front()] == [row["id"] for row in result.front]
    files = {path.name for path in (result.workdir / "models").iterdir()}
    assert files == {f"{row['id']}.h5" for row in result.front}
    for row in result.front:
        graph = load_graph(result.workdir / row["file"])
        check(graph)
        assert graph.has_weights
        assert count_parameters(graph) == row["parameters"]
    assert run.hypervolumes()[-1] == pytest.approx(result.hypervolume)


def test_all_networks_and_proposals_are_recorded(finished):
    result, _ = finished
    run = read_run(result.workdir)
    assert {line.id for line in run.history[:4]} == {"0-0", "0-1", "0-2", "0-3"}
    proposals = run.store.proposals.read()
    accepted = {line.id for line in proposals if line.outcome == "accepted"}
    assert accepted == {line.id for line in run.history if line.generation > 0}
    assert len(accepted) == 2 * TINY["num_accepted"]
    new = [line for line in proposals if line.outcome != "duplicate"]
    assert len(new) == 2 * TINY["num_proposed"]
    epochs = {None: 0}
    for line in sorted(run.history, key=lambda entry: entry.generation):
        assert line.seconds["total"] > 0
        assert line.batch_size == 64
        epochs[line.id] = epochs[line.parent] + TINY["epochs"]
        assert line.lineage_epochs == epochs[line.id]


def test_every_network_can_be_rebuilt_from_its_initial_network_and_its_operators(finished, images):
    result, _ = finished
    lines = {line.id: line for line in read_run(result.workdir).history}
    data = load_dataset(str(images))
    initial = NETWORKS.initial_graphs(
        data.input_shape, data.num_classes, rescaling=data.rescaling()
    )

    def rebuilt(name):
        line = lines[name]
        if line.parent is None:
            return initial[int(name.split("-")[1])].copy(weights=False)
        rng = np.random.default_rng(0)
        return replay(rebuilt(line.parent), line.operators, rng=rng).graph

    for name, line in lines.items():
        assert canonical_hash(rebuilt(name)) == line.architecture_hash
    for row in result.front:
        graph = load_graph(result.workdir / row["file"])
        assert canonical_hash(graph) == lines[row["id"]].architecture_hash


def test_callbacks_receive_all_events_in_order(finished):
    events = finished[1].events
    assert events[0] == "search begin"
    assert events[-1] == "end"
    assert sorted(events[1:5]) == ["0-0", "0-1", "0-2", "0-3"]
    assert events[5].startswith("population")
    assert events[6].startswith("generation 1: ")
    assert sum(event.startswith("population") for event in events) == 3


def test_the_settings_and_the_reference_point_are_recorded(finished):
    config = json.loads((finished[0].workdir / "config.json").read_text())
    assert config["objectives"] == ["error", "parameters"]
    assert config["format"] == 2
    assert config["reference_point"]["error"] == pytest.approx(0.75)
    assert config["num_generations"] == 2
    assert {"python", "keras", "tensorflow"} <= set(config["versions"])


def test_the_same_seed_gives_the_same_search_with_any_number_of_workers(finished, images, tmp_path):
    settings = {**TINY, "dataset": str(images), "workdir": str(tmp_path / "again"), "workers": 1}
    again = search(make_config("paper", **settings))

    def results(workdir):
        kept = ("id", "parent", "operators", "objectives", "test_error", "losses")
        history = read_run(workdir).history
        return sorted(
            (tuple(getattr(record, name) for name in kept) for record in history), key=str
        )

    assert results(again.workdir) == results(finished[0].workdir)
    assert [row["id"] for row in again.front] == [row["id"] for row in finished[0].front]


@pytest.mark.slow
def test_a_replay_with_another_number_of_workers_trains_the_same_weights(images, tmp_path):
    settings = {**TINY, "dataset": str(images), "mode": "asynchronous", "workers": 2}
    search(make_config("paper", **settings, workdir=str(tmp_path / "run")))
    search(replay=str(tmp_path / "run"), workers=1, workdir=str(tmp_path / "again"))
    run, again = read_run(tmp_path / "run"), read_run(tmp_path / "again")
    assert [record.id for record in run.history] == [record.id for record in again.history]
    for record, other in zip(run.history, again.history, strict=True):
        assert (record.objectives, record.losses) == (other.objectives, other.losses)
    assert [record.id for record in run.front()] == [record.id for record in again.front()]
    for record in run.front():
        first, second = (load_graph(r.store.models.path(record.id)) for r in (run, again))
        for (name, node), (_, copy) in zip(first.items(), second.items(), strict=True):
            for key, weights in node.weights.items():
                assert np.array_equal(weights, copy.weights[key]), f"{record.id}: {name}, {key}"


@pytest.mark.slow
def test_a_search_of_cells(images, tmp_path):
    """The same seed gives the same history; files are read back as (cell, n, F)."""
    settings = {**TINY, "space": "cells", "filters": (16, 32), "num_generations": 1}
    settings["dataset"] = str(images)
    first, second = (
        search(make_config("paper", **settings, workdir=str(tmp_path / f"{n}"), workers=n))
        for n in (1, 2)
    )
    lines, again = (
        sorted(read_run(result.workdir).history, key=lambda line: line.id)
        for result in (first, second)
    )
    assert len(lines) == 4 + TINY["num_accepted"]
    for line, other in zip(lines, again, strict=True):
        for key in ("id", "parent", "operators", "objectives", "test_error", "losses", "failure"):
            assert getattr(line, key) == getattr(other, key)
        assert line.failure is None
    for row in first.front:
        graph = load_graph(first.workdir / row["file"])
        cell, cells_per_block, filters = extract_cell(graph)
        assert (cells_per_block, filters in (16, 32)) == (2, True)
        large = augment(graph, cells_per_block=4, filters=64, input_shape=(16, 16, 3))
        assert extract_cell(large) == (cell.scaled(64), 4, 64)


def test_a_folder_that_holds_a_run_is_refused(finished, images):
    workdir = str(finished[0].workdir)
    before = (finished[0].workdir / "history.jsonl").read_bytes()
    with pytest.raises(StoreError, match="holds a run"):
        search(make_config("paper", **{**TINY, "dataset": str(images), "workdir": workdir}))
    assert (finished[0].workdir / "history.jsonl").read_bytes() == before


def test_a_missing_data_set_leaves_no_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"nothing\.npz"):
        search(dataset=str(tmp_path / "nothing.npz"), workdir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_augmentation_that_does_not_fit_the_images_is_an_error_with_the_option(tmp_path):
    images = tmp_path / "small.npz"
    np.savez(images, x_train=np.zeros((20, 8, 8, 1), np.uint8), y_train=np.arange(20) % 2)
    for given, message in (({"cutout": 9}, "--cutout is 9; expect"), ({"pad": 8}, "--pad is 8;")):
        with pytest.raises(ConfigError, match=f"small.npz: {message}"):
            search(dataset=str(images), workdir=str(tmp_path / "run"), **given)
    assert not (tmp_path / "run").exists()


def test_the_time_limit_ends_the_search_after_the_running_networks(images, tmp_path):
    seconds = 20.0
    started = time.monotonic()

    class Dawdle(Callback):
        def on_generation_begin(self, state, proposals):
            time.sleep(max(0.0, started + seconds + 0.5 - time.monotonic()))

    settings = {**TINY, "dataset": str(images), "workdir": str(tmp_path / "run")}
    config = make_config("paper", **settings, max_hours=seconds / 3600)
    result = search(config, callbacks=[Dawdle()])
    assert not result.complete
    run = read_run(result.workdir)
    assert {line.generation for line in run.history} == {0}
    assert [line.id for line in run.front()] == [row["id"] for row in result.front]


def test_too_little_time_for_a_single_network_is_an_error(images, tmp_path):
    settings = {**TINY, "dataset": str(images), "workdir": str(tmp_path / "run")}
    config = make_config("paper", **settings, max_hours=1e-7)
    with pytest.raises(SearchError, match="--max_hours is 1e-07; no initial network was"):
        search(config)


def test_an_exception_of_a_callback_ends_the_search_and_keeps_finished_networks(images, tmp_path):
    class Stop(Callback):
        def on_network_end(self, state, record):
            if state.num_trained == 2:
                raise KeyboardInterrupt

    settings = {**TINY, "dataset": str(images), "workdir": str(tmp_path / "run"), "workers": 1}
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        search(make_config("paper", **settings), callbacks=[Stop()])
    assert time.monotonic() - started < 120
    run = read_run(tmp_path / "run")
    assert len(run.history) == 2
    for line in run.front():
        check(load_graph(run.store.models.path(line.id)))


def test_config_and_settings_together_are_refused():
    with pytest.raises(TypeError, match="expected only one of them"):
        search(make_config(), seed=3)


def test_the_driver_never_loads_a_backend(images, tmp_path):
    settings = {**TINY, "preset": "paper", "num_generations": 0}
    settings |= {"dataset": str(images), "workdir": str(tmp_path / "run")}
    script = f"""
from lemonade_tf.search import search
import sys
search(**{settings!r})
print([name for name in ("tensorflow", "keras", "jax", "torch") if name in sys.modules])
"""
    path = tmp_path / "script.py"  # at top level, without a guard for the main module
    path.write_text(script)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unreachable_ray_cluster_leaves_no_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    message = "the Ray cluster at 'nowhere' cannot be reached"
    with pytest.raises(WorkerSetupError, match=message):
        search(executor="ray", ray_address="nowhere", workdir=str(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []
