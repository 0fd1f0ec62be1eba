"""A search that breaks ties between errors: what it ranks by, and what it records."""

import json
from dataclasses import replace

import pytest
from data_sets import write_data_sets
from toy_training import cut, results, toy_executor, toy_search

from lemonade_tf.config import ConfigError
from lemonade_tf.evolution import update_front
from lemonade_tf.runs import read_run
from lemonade_tf.search import search
from lemonade_tf.store import RunStore, journal

TIE_BREAK = {"tie_break": "cross_entropy", "seed": 3}


def ids(networks):
    return {network.id for network in networks}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished search."""
    workdir = tmp_path_factory.mktemp("ties") / "run"
    assert toy_search(workdir, in_process=True, **TIE_BREAK).complete
    return workdir


def test_both_errors_are_recorded_and_the_front_is_by_the_ranked_one(folder, whole):
    run = read_run(folder)
    for record in run.trained:
        assert list(record.ranked_errors) == ["error"]
        assert record.error <= record.ranked_errors["error"] < record.error + 1 / 20
    by_rank = [replace(r, objectives=r.ranked_objectives, ranked_errors={}) for r in run.trained]
    names = ["error", "parameters"]
    assert ids(run.front()) == ids(update_front((), by_rank, names))
    assert ids(run.front()) != ids(update_front((), run.trained, names))
    assert all(not record.ranked_errors for record in whole["history"].values())


def test_parents_are_members_of_the_ranked_front(folder):
    run = read_run(folder)
    for generation in range(1, 3):
        children = [r for r in run.trained if r.generation == generation + 1]
        assert {child.parent for child in children} <= ids(run.front(generation))
    # Some are not on the front of the errors alone, so the ranked one decided.
    plain = replace(run, history=[replace(r, ranked_errors={}) for r in run.history])
    assert {r.parent for r in run.trained if r.generation == 2} - ids(plain.front(1))


@pytest.mark.parametrize("after", [3, 6, 9])
def test_a_resumed_search_ends_like_an_uninterrupted_one(tmp_path, folder, after):
    workdir = cut(tmp_path / "run", after, **TIE_BREAK)
    assert toy_search(workdir, in_process=True, resume=True, **TIE_BREAK).complete
    assert results(workdir) == results(folder)


@pytest.mark.parametrize(("name", "value"), [("num_accepted", 3), ("tie_break", "none")])
def test_a_search_is_not_resumed_with_other_settings(tmp_path, name, value):
    workdir = cut(tmp_path / "run", 6, **TIE_BREAK)
    with pytest.raises(ConfigError, match=f"cannot resume with different settings: .*--{name}"):
        toy_search(workdir, in_process=True, resume=True, **{**TIE_BREAK, name: value})


def test_a_run_of_an_earlier_version_is_resumed_without(tmp_path, whole):
    workdir = cut(tmp_path / "run", 6)
    store = RunStore.open(workdir)
    config = store.read_config()
    assert config.settings["tie_break"] == "none"
    older = {name: v for name, v in config.settings.items() if name != "tie_break"}
    store.write_config(replace(config, settings=older))
    history, key = workdir / "history.jsonl", store.run_id
    lines = journal.read(history, key)
    assert [line.pop("ranked_errors") for line in lines] == [{}] * 6
    history.unlink()
    journal.append(history, lines, key)
    result = toy_search(workdir, in_process=True, resume=True)
    assert result.complete
    assert results(workdir) == whole


def test_a_replay_ends_like_the_replayed_search(tmp_path):
    settings = {"mode": "asynchronous", "in_process": True, **TIE_BREAK}
    toy_search(tmp_path / "run", workers=7, **settings)
    again = search(
        workdir=str(tmp_path / "again"), replay=str(tmp_path / "run"), executor=toy_executor()
    )
    assert again.complete
    assert results(tmp_path / "again") == results(tmp_path / "run")


def test_each_data_set_has_its_ranked_error(tmp_path):
    data_sets = write_data_sets(tmp_path)
    settings = {"dataset": data_sets, "num_generations": 1, **TIE_BREAK}
    toy_search(tmp_path / "run", in_process=True, **settings)
    run = read_run(tmp_path / "run")
    for record in run.trained:
        assert list(record.ranked_errors) == ["error", "error_odd"]
        for name, ranked in record.ranked_errors.items():
            assert record.objectives[name] <= ranked < record.objectives[name] + 1 / 20


def test_front_csv_has_the_errors_alone(folder):
    rows = (folder / "front.csv").read_text().splitlines()
    assert rows[0] == "id,file,error,parameters,test_error"
    errors = {r.id: r.error for r in read_run(folder).front()}
    assert {row.split(",")[0]: float(row.split(",")[2]) for row in rows[1:]} == errors
    assert json.loads((folder / "config.json").read_text())["tie_break"] == "cross_entropy"
