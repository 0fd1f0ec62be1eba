"""A search that breaks ties between errors: what it ranks by, and what it records."""

import json
from dataclasses import replace
from math import floor

import pytest
import toy_training
from data_sets import write_data_sets
from toy_training import cut, results, toy_executor, toy_search

from lemonade_tf.baselines.random_search import random_search
from lemonade_tf.config import ConfigError
from lemonade_tf.evolution import update_front
from lemonade_tf.runs import read_run
from lemonade_tf.runs.choosing import choose
from lemonade_tf.runs.quality import front_hypervolume
from lemonade_tf.search import search
from lemonade_tf.store import RunStore, journal

TIE_BREAK = {"tie_break": "cross_entropy", "seed": 3}


Toy = toy_training.Toy  # also while it is replaced


class CoarseToy(Toy):
    """A toy with fifths as errors: those of the usual toy are the ranked errors."""

    def _train(self, task):
        result = super()._train(task)
        return replace(result, error=floor(5 * result.error) / 5, ranked_error=result.error)


@pytest.fixture(scope="module", autouse=True)
def coarse():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_training, "Toy", CoarseToy)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, coarse):
    """A finished search."""
    workdir = tmp_path_factory.mktemp("ties") / "run"
    assert toy_search(workdir, in_process=True, **TIE_BREAK).complete
    return workdir


@pytest.fixture(scope="module")
def run(folder):
    return read_run(folder)


def ids(networks):
    return {network.id for network in networks}


def without_ranks(run):
    """Return a run as if it had not broken ties."""
    return replace(run, history=[replace(r, ranked_errors={}) for r in run.history])


def test_both_errors_are_recorded_and_the_front_is_by_the_ranked_one(run):
    for record in run.trained:
        assert list(record.ranked_errors) == ["error"]
        assert record.error <= record.ranked_errors["error"] < record.error + 1 / 5
    names = ["error", "parameters"]
    by_rank = [replace(r, objectives=r.ranked_objectives, ranked_errors={}) for r in run.trained]
    assert ids(run.front()) == ids(update_front((), by_rank, names))
    assert ids(run.front()) > ids(without_ranks(run).front())


def test_the_best_network_is_the_best_of_those_with_the_lowest_error(run):
    lowest = min(record.error for record in run.trained)
    tied = [record for record in run.trained if record.error == lowest]
    assert len(tied) > 1
    best = choose(run, "lowest error")
    assert best.ranked_errors["error"] == min(r.ranked_errors["error"] for r in tied)
    assert best.id != choose(without_ranks(run), "lowest error").id


def test_the_hypervolume_is_that_of_the_errors_alone(run):
    plain = without_ranks(run)
    front = [record.objectives for record in plain.front()]
    expected = front_hypervolume(run.objectives, front, run.config.reference_point)
    assert run.hypervolumes()[-1] == pytest.approx(expected, rel=1e-12)
    ranked = [record.objectives for record in run.front()]
    found = front_hypervolume(run.objectives, ranked, run.config.reference_point)
    assert found == pytest.approx(expected, rel=1e-12)


def test_parents_are_members_of_the_ranked_front(run):
    plain = without_ranks(run)
    only_by_rank = set()
    for generation in range(1, 3):
        parents = {r.parent for r in run.trained if r.generation == generation + 1}
        assert parents <= ids(run.front(generation))
        only_by_rank |= parents - ids(plain.front(generation))
    assert only_by_rank


def test_children_by_improvement_are_those_of_the_ranked_errors(tmp_path):
    """As those of the usual toy, whose errors are the ranked errors here."""
    settings = {"in_process": True, "sampling": "improvement", "seed": 3}
    toy_search(tmp_path / "ties", tie_break="cross_entropy", **settings)
    toy_search(tmp_path / "none", **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_training, "Toy", Toy)
        toy_search(tmp_path / "fine", **settings)
    ties, none, fine = (results(tmp_path / name)["proposals"] for name in ("ties", "none", "fine"))
    assert ties == fine
    assert ties != none


@pytest.mark.parametrize("after", [3, 6, 9])
def test_a_resumed_search_ends_like_an_uninterrupted_one(tmp_path, folder, after):
    workdir = cut(tmp_path / "run", after, **TIE_BREAK)
    assert toy_search(workdir, in_process=True, resume=True, **TIE_BREAK).complete
    assert results(workdir) == results(folder)


def test_ties_are_broken_from_the_start_or_never(tmp_path):
    workdir = cut(tmp_path / "run", 6, **TIE_BREAK)
    message = "different settings: --tie_break was cross_entropy, now none"
    with pytest.raises(ConfigError, match=message):
        toy_search(workdir, in_process=True, resume=True, **{**TIE_BREAK, "tie_break": "none"})


def test_a_run_of_an_earlier_version_is_resumed_without(tmp_path):
    toy_search(tmp_path / "whole", in_process=True)
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
    assert toy_search(workdir, in_process=True, resume=True).complete
    assert results(workdir) == results(tmp_path / "whole")
    assert all(not record.ranked_errors for record in read_run(workdir).history)


def test_asynchronous_searches_are_replayed_and_resumed(tmp_path):
    settings = {"mode": "asynchronous", "in_process": True, **TIE_BREAK}
    toy_search(tmp_path / "run", workers=7, **settings)
    again = tmp_path / "again"
    replayed = {"replay": str(tmp_path / "run"), "workdir": str(again), "executor": toy_executor()}
    assert search(**replayed).complete
    assert results(again) == results(tmp_path / "run")
    cut(tmp_path / "cut", 7, **{k: v for k, v in settings.items() if k != "in_process"})
    assert toy_search(tmp_path / "cut", resume=True, **settings).complete
    assert all(record.ranked_errors for record in read_run(tmp_path / "cut").trained)


def test_each_data_set_has_its_ranked_error(tmp_path):
    data_sets = write_data_sets(tmp_path)
    settings = {"dataset": data_sets, "num_generations": 1, **TIE_BREAK}
    toy_search(tmp_path / "run", in_process=True, **settings)
    run = read_run(tmp_path / "run")
    for record in run.trained:
        assert list(record.ranked_errors) == ["error", "error_odd"]
        for name, ranked in record.ranked_errors.items():
            assert record.objectives[name] <= ranked < record.objectives[name] + 1 / 5
    best = choose(run, "lowest error_odd")
    assert best.ranked_errors["error_odd"] == min(
        record.ranked_errors["error_odd"] for record in run.front()
    )


def test_random_search_breaks_ties_like_the_search(tmp_path, run):
    result = random_search(run, str(tmp_path / "random"), seed=0, executor=toy_executor())
    found = read_run(result.workdir)
    assert all(list(record.ranked_errors) == ["error"] for record in found.trained)


def test_front_csv_has_the_errors_alone(folder, run):
    rows = (folder / "front.csv").read_text().splitlines()
    assert rows[0] == "id,file,error,parameters,test_error"
    errors = {record.id: record.error for record in run.front()}
    assert {row.split(",")[0]: float(row.split(",")[2]) for row in rows[1:]} == errors
    assert json.loads((folder / "config.json").read_text())["tie_break"] == "cross_entropy"
