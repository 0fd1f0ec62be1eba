"""Starting a run: its folder, and what is recorded there."""

from functools import partial
from multiprocessing.pool import ThreadPool

import pytest
from toy_training import toy_executor

from lemonade_tf.config import ConfigError
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.presets import make_config
from lemonade_tf.runs import read_run
from lemonade_tf.search import search
from lemonade_tf.search import start as module
from lemonade_tf.search.start import start_run
from lemonade_tf.store import RunStore, StoreError

DIGITS = load_dataset("digits")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_started_at_the_same_time_take_different_folders(here):
    with ThreadPool(4) as pool:
        setups = pool.map(partial(start_run, dataset=DIGITS), [make_config("quick")] * 4)
    assert sorted(s.store.path.name for s in setups) == [f"digits-{n}" for n in range(1, 5)]
    for each in setups:
        assert RunStore.open(each.store.path).is_locked()


def test_a_folder_created_while_objectives_are_prepared_is_not_taken(here, monkeypatch):
    def prepare(*_):
        (here / "runs" / "digits-1").mkdir(parents=True)

    monkeypatch.setattr(module, "prepare_objectives", prepare)
    assert start_run(make_config("quick"), DIGITS).store.path.name == "digits-2"


def test_a_given_folder_must_not_hold_a_run(here):
    config = make_config("quick", workdir="mine")
    start_run(config, DIGITS).store.release()
    with pytest.raises(StoreError, match="mine already holds a run"):
        start_run(config, DIGITS)
    assert [path.name for path in here.iterdir()] == ["mine"]


def test_a_run_starts_with_the_initial_networks_and_records_its_data(here):
    setup = start_run(make_config("quick", workdir="run"), DIGITS)
    setup.store.release()
    assert len(setup.initial) == 4
    assert setup.measured_objectives == ()
    assert not setup.history.networks
    recorded = RunStore.open("run").read_config()
    assert recorded.reference_point == setup.reference_point
    assert recorded.reference_point["error"] == pytest.approx(0.9)
    assert recorded.reference_point["parameters"] == 10 * 399_534
    assert recorded.images.num_images == {"training": 1200, "validation": 297, "test": 300}
    assert recorded.num_initial == 4


def test_arrays_are_a_data_set_that_is_saved_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arrays = ((DIGITS.x_train, DIGITS.y_train), (DIGITS.x_test, DIGITS.y_test))
    settings = {"workdir": "run", "num_generations": 0, "executor": toy_executor()}
    for resume in (False, True):
        assert search(dataset=arrays, resume=resume, **settings).complete
    assert search(resume=True, **settings).complete
    [path] = (tmp_path / "data").iterdir()
    assert read_run("run").dataset == str(path.relative_to(tmp_path))
    with pytest.raises(ConfigError, match=r"--dataset was data/arrays-\w+\.npz, now data/arrays-"):
        search(dataset=(DIGITS.x_test, DIGITS.y_test), resume=True, **settings)


def test_a_search_that_does_not_start_leaves_no_converted_models(here, monkeypatch):
    def convert(paths, dataset, workdir):
        (workdir / "initial_models").mkdir(parents=True)
        return ()

    def fail(config):
        raise ConfigError("no limit is met")

    monkeypatch.setattr(module, "initial_model_networks", convert)
    monkeypatch.setattr(module, "search_space", fail)
    with pytest.raises(ConfigError, match="no limit"):
        start_run(make_config("quick", initial_models=("a.h5",)), DIGITS)
    assert not list((here / "runs").iterdir())
