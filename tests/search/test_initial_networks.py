"""The initial networks of a search that starts from a previous run."""

import numpy as np
import pytest
from runs import CONFIG, make_run
from toy_training import cut, results, toy_search

from lemonade_tf.architecture.text import from_json, same_architecture
from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.keras_bridge import save_model
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.runs import read_run
from lemonade_tf.search.initial_networks import warm_start_networks
from lemonade_tf.search.warm_start import WarmStartNetwork
from lemonade_tf.store import StoreError


def images(*shape):
    """Return a data set of ten classes with images of a shape."""
    pixels, labels = np.zeros((20, *shape), np.uint8), np.arange(20) % 10
    return Dataset("images", pixels, labels, pixels, labels, None, None, 10)


def adapt(run, dataset, space="networks"):
    return warm_start_networks(SearchConfig(space=space, initial_run=str(run)), dataset)


@pytest.fixture(scope="module")
def previous(tmp_path_factory):
    """A finished run, with real files."""
    workdir = tmp_path_factory.mktemp("previous") / "run"
    toy_search(workdir, in_process=True)
    run = read_run(workdir)
    rng = np.random.default_rng(0)
    for line in run.front():
        path = run.store.models.path(line.id)
        save_model(initial_weights(from_json(path.read_text()), rng=rng), path, {})
    return workdir


def test_a_search_starts_from_the_front_of_a_previous_run(previous, tmp_path):
    front = read_run(previous).front()
    toy_search(tmp_path / "run", in_process=True, initial_run=str(previous), num_generations=1)
    run = read_run(tmp_path / "run")
    initial = [line for line in run.history if line.generation == 0]
    assert len(initial) == len(front) == run.config.num_initial
    for line, before in zip(initial, front, strict=True):
        assert line.objectives["parameters"] == before.objectives["parameters"]
        assert line.architecture_hash == before.architecture_hash


def test_networks_of_the_previous_front_over_a_limit_are_left_out(previous, tmp_path):
    sizes = [line.objectives["parameters"] for line in read_run(previous).front()]
    settings = {"initial_run": str(previous), "num_generations": 1}
    settings["limit"] = {"parameters": sizes[len(sizes) // 2]}
    toy_search(tmp_path / "whole", in_process=True, **settings)
    run = read_run(tmp_path / "whole")
    assert run.config.num_initial == len(sizes) // 2 + 1 < len(sizes)
    found = [line.objectives["parameters"] for line in run.trained]
    assert max(found) == sizes[len(sizes) // 2]
    workdir = cut(tmp_path / "run", run.config.num_initial + 1, **settings)
    toy_search(workdir, in_process=True, resume=True, **settings)
    assert results(workdir) == results(tmp_path / "whole")


def test_a_previous_front_over_a_limit_is_pruned(previous, tmp_path):
    sizes = [line.objectives["parameters"] for line in read_run(previous).front()]
    settings = {"initial_run": str(previous), "num_generations": 1}
    settings["limit"] = {"parameters": min(sizes) // 2}
    toy_search(tmp_path / "whole", in_process=True, **settings)
    run = read_run(tmp_path / "whole")
    initial = [line for line in run.history if line.generation == 0]
    assert 1 <= len(initial) <= len(sizes)
    assert max(line.objectives["parameters"] for line in run.trained) <= min(sizes) // 2
    for line in initial:  # trained from the weights of the previous run
        assert set(line.operator_names) == {"prune_filters"}
    workdir = cut(tmp_path / "run", run.config.num_initial + 1, **settings)
    toy_search(workdir, in_process=True, resume=True, **settings)
    assert results(workdir) == results(tmp_path / "whole")


def test_it_resumes_even_if_the_previous_run_has_changed(previous, tmp_path):
    settings = {"initial_run": str(previous), "num_generations": 1}
    toy_search(tmp_path / "whole", in_process=True, **settings)
    num_initial = read_run(tmp_path / "whole").config.num_initial
    workdir = cut(tmp_path / "run", num_initial + 2, **settings)
    (previous / "history.jsonl").rename(previous / "elsewhere")
    toy_search(workdir, in_process=True, resume=True, **settings)
    (previous / "elsewhere").rename(previous / "history.jsonl")
    assert results(workdir) == results(tmp_path / "whole")


def test_it_does_not_resume_without_initial_jsonl(previous, tmp_path):
    settings = {"initial_run": str(previous), "num_generations": 1}
    workdir = cut(tmp_path / "run", 2, **settings)
    (workdir / "initial.jsonl").unlink()
    with pytest.raises(StoreError, match=r"initial\.jsonl is missing or empty, .*; restore it"):
        toy_search(workdir, in_process=True, resume=True, **settings)


def test_a_network_is_restored_from_its_record(previous, tmp_path):
    [first, *_] = adapt(previous, images(8, 8, 1))
    again = WarmStartNetwork.from_record(first.as_record(tmp_path).as_stored(), tmp_path)
    assert (again.id, again.path, again.file) == (first.id, first.path, first.file)
    assert same_architecture(again.graph, first.graph)


def test_a_file_that_has_changed_is_refused(previous, tmp_path):
    workdir = cut(tmp_path / "run", 2, initial_run=str(previous))
    last = read_run(previous).store.models.path(read_run(previous).front()[-1].id)
    content = last.read_bytes()
    last.write_bytes(content + b"more")
    with pytest.raises(StoreError, match="is missing or has changed since the search started"):
        toy_search(workdir, in_process=True, resume=True, initial_run=str(previous))
    last.write_bytes(content)


def test_a_previous_run_that_does_not_fit_is_refused(previous, tmp_path):
    with pytest.raises(StoreError, match="is not a folder"):
        toy_search(tmp_path / "run", initial_run=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"the network .* does not fit the new data: .*pool"):
        adapt(previous, images(2, 2, 1))
    with pytest.raises(ConfigError, match=r"is a run in the space 'networks', not in 'cells'; ch"):
        adapt(previous, images(8, 8, 1), "cells")
    assert not (tmp_path / "run").exists()


def test_a_previous_run_without_a_trained_network_is_refused(tmp_path):
    folder = make_run(tmp_path / "run", history=(), config=CONFIG)
    with pytest.raises(ConfigError, match="run has no trained network"):
        adapt(folder, images(8, 8, 1))
