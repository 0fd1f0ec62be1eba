"""Networks that are rebuilt from the operators in the history."""

from dataclasses import replace

import numpy as np
import pytest
from data_sets import write_data_sets
from runs import change_settings
from toy_training import toy_executor, toy_search

from lemonade_tf.architecture.text import from_json, to_json
from lemonade_tf.baselines.random_search import random_search
from lemonade_tf.config import ConfigError
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.keras_bridge import save_model
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.runs import read_run
from lemonade_tf.search.lineage import rebuild_networks
from lemonade_tf.store import StoreError


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setenv("TOY_SECONDS", "0")


def search(workdir, **settings):
    toy_search(workdir, in_process=True, num_generations=2, keep_all=True, **settings)
    return read_run(workdir)


def check_all(run, dataset="digits"):
    """Check that all networks are those in the files, node by node."""
    ids = [record.id for record in run.history]
    graphs = rebuild_networks(run, ids, load_dataset(dataset))
    files = {id_: run.store.models.path(id_).read_text() for id_ in ids}
    assert {id_: to_json(graph) for id_, graph in graphs.items()} == files


@pytest.mark.parametrize(
    "settings",
    [{}, {"mode": "asynchronous"}, {"space": "cells", "filters": (16, 32)}],
    ids=["generational", "asynchronous", "cells"],
)
def test_every_network_can_be_rebuilt(tmp_path, settings):
    check_all(search(tmp_path / "run", **settings))


def test_networks_on_several_data_sets_are_those_of_the_first(tmp_path):
    data_sets = write_data_sets(tmp_path)
    check_all(search(tmp_path / "run", dataset=data_sets), data_sets[0])


def test_networks_of_a_search_that_started_from_another_run(tmp_path):
    previous = search(tmp_path / "previous")
    for record in previous.front():
        path = previous.store.models.path(record.id)
        graph = from_json(path.read_text())
        save_model(initial_weights(graph, rng=np.random.default_rng(0)), path, {})
    check_all(search(tmp_path / "run", initial_run=str(tmp_path / "previous")))


def test_networks_of_a_random_search(tmp_path):
    run = search(tmp_path / "run")
    workdir = str(tmp_path / "random")
    random_search(run, workdir, seed=0, executor=toy_executor())
    check_all(read_run(workdir))


def test_a_damaged_history_or_config_is_refused(tmp_path):
    run = search(tmp_path / "run")
    child = next(record for record in run.history if record.parent is not None)
    others = [record for record in run.history if record is not child]
    for changed, words in (
        (replace(child, operators=[]), f"network {child.id}, rebuilt from its operators, differs"),
        (replace(child, parent="7-7"), f"network {child.id} cannot be rebuilt"),
        (replace(child, parent=child.id), f"network {child.id} cannot be rebuilt"),
        (replace(child, operators=[{"operator": "paint"}]), "cannot be rebuilt .*'paint'"),
    ):
        damaged = replace(run, history=[*others, changed])
        with pytest.raises(StoreError, match=words):
            rebuild_networks(damaged, [child.id], load_dataset("digits"))
    change_settings(tmp_path / "run", filters="many")
    with pytest.raises(ConfigError, match=r"config\.json of the run has many as 'filters'"):
        rebuild_networks(read_run(tmp_path / "run"), ["0-0"], load_dataset("digits"))
