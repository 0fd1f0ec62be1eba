import numpy as np
import pytest
from runs import CONFIG, make_run
from toy_training import cut, results, toy_search

from lemonade_tf.architecture.layers import Rescaling
from lemonade_tf.architecture.text import from_json, same_architecture
from lemonade_tf.config import ConfigError
from lemonade_tf.keras_bridge import save_model
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.runs import read_run
from lemonade_tf.search.warm_start import WarmStartNetwork, origins
from lemonade_tf.store import StoreError

RESCALING = Rescaling(1 / 50, -0.5)


@pytest.fixture(scope="module")
def former(tmp_path_factory):
    """A finished run, with real files."""
    workdir = tmp_path_factory.mktemp("former") / "run"
    toy_search(workdir, in_process=True)
    run = read_run(workdir)
    rng = np.random.default_rng(0)
    for line in run.front():
        path = run.store.models.path(line.id)
        save_model(initial_weights(from_json(path.read_text()), rng=rng), path, {})
    return workdir


def test_a_search_begins_with_a_former_front(former, tmp_path):
    front = read_run(former).front()
    toy_search(tmp_path / "run", in_process=True, initial_run=str(former), num_generations=1)
    run = read_run(tmp_path / "run")
    initial = [line for line in run.history if line.generation == 0]
    assert len(initial) == len(front) == run.config.num_initial
    for line, before in zip(initial, front, strict=True):
        assert line.objectives["parameters"] == before.objectives["parameters"]
        assert line.architecture_hash == before.architecture_hash


def test_networks_of_the_former_front_beyond_a_limit_are_left_out(former, tmp_path):
    sizes = [line.objectives["parameters"] for line in read_run(former).front()]
    settings = {"initial_run": str(former), "num_generations": 1}
    settings["limit"] = {"parameters": sizes[len(sizes) // 2]}
    toy_search(tmp_path / "whole", in_process=True, **settings)
    run = read_run(tmp_path / "whole")
    assert run.config.num_initial == len(sizes) // 2 + 1 < len(sizes)
    found = [line.objectives["parameters"] for line in run.trained]
    assert max(found) == sizes[len(sizes) // 2]
    workdir = cut(tmp_path / "run", run.config.num_initial + 1, **settings)
    toy_search(workdir, in_process=True, resume=True, **settings)
    assert results(workdir) == results(tmp_path / "whole")


def test_it_resumes_even_if_the_former_run_went_on(former, tmp_path):
    settings = {"initial_run": str(former), "num_generations": 1}
    toy_search(tmp_path / "whole", in_process=True, **settings)
    workdir = cut(tmp_path / "run", 9, **settings)
    (former / "history.jsonl").rename(former / "elsewhere")
    toy_search(workdir, in_process=True, resume=True, **settings)
    (former / "elsewhere").rename(former / "history.jsonl")
    assert results(workdir) == results(tmp_path / "whole")


def test_it_does_not_resume_without_its_record_of_the_former_front(former, tmp_path):
    settings = {"initial_run": str(former), "num_generations": 1}
    workdir = cut(tmp_path / "run", 2, **settings)
    (workdir / "initial.jsonl").unlink()
    with pytest.raises(StoreError, match=r"initial\.jsonl is missing or empty, .*; restore it"):
        toy_search(workdir, in_process=True, resume=True, **settings)


def test_a_network_comes_back_from_its_record(former):
    [first, *_] = origins(str(former), "networks", (8, 8, 1), 10, RESCALING)
    again = WarmStartNetwork.from_record(first.as_record().as_stored())
    assert (again.id, again.file, again.recorded) == (first.id, first.file, first.recorded)
    assert same_architecture(again.graph, first.graph)


def test_a_file_that_was_changed_meanwhile(former, tmp_path):
    workdir = cut(tmp_path / "run", 2, initial_run=str(former))
    last = read_run(former).store.models.path(read_run(former).front()[-1].id)
    content = last.read_bytes()
    last.write_bytes(content + b"more")
    with pytest.raises(StoreError, match=r"is not the file that the search began with"):
        toy_search(workdir, in_process=True, resume=True, initial_run=str(former))
    last.write_bytes(content)


def test_a_former_run_that_cannot_be_begun_with(former, tmp_path):
    with pytest.raises(StoreError, match="is not a folder"):
        toy_search(tmp_path / "run", initial_run=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"the network .* cannot be begun with: .*pool"):
        origins(str(former), "networks", (2, 2, 1), 10, RESCALING)
    with pytest.raises(ConfigError, match=r"is a run in the space 'networks', this one is in 'ce"):
        origins(str(former), "cells", (8, 8, 1), 10, RESCALING)
    assert not (tmp_path / "run").exists()


def test_a_former_run_without_a_network(tmp_path):
    folder = make_run(tmp_path / "run", history=(), config=CONFIG)
    with pytest.raises(ConfigError, match="run has no trained network"):
        origins(str(folder), "networks", (8, 8, 1), 10, RESCALING)
