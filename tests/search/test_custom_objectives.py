"""Searches with custom objectives, from the command line to the report."""

import csv
import os
import re
import sys

import numpy as np
import pytest
from toy_training import SETTINGS, cut, results, toy_search

from lemonade_tf.cli import main
from lemonade_tf.config import ConfigError
from lemonade_tf.monitoring.status import read_status
from lemonade_tf.objectives import ObjectiveError
from lemonade_tf.report import table_rows
from lemonade_tf.runs import read_run
from lemonade_tf.search import SearchError
from lemonade_tf.store import StoreError

MODULE = """
import os
from lemonade_tf.objectives import Objective

def depth(graph):
    if len(graph) > int(os.environ.get("DEEPEST", 10_000)):
        raise KeyError("too deep")
    return len(graph)

def time(graph, found):
    return found["seconds"] * len(graph)

def prepare(before):
    with open("prepared.txt", "a") as file:
        file.write("once\\n")
    return {"seconds": 0.25 * len(before.graphs)}

def doubt(trained):
    if os.environ.get("FAIL") == str(len(trained.graph)):
        raise ValueError("no such luck")
    return float(trained.probabilities.max(axis=1).mean())

DEPTH = Objective("depth", "linear", depth)
TIME = Objective("time", "log", time, unit="s", prepare=prepare)
DOUBT = Objective("doubt", "linear", measure=doubt, unit="fraction")
BROKEN = Objective("broken", "log", lambda graph: 0)
UNPREPARED = Objective("unprepared", "log", time, prepare=lambda before: 1 / 0)
"""
ALL = ("error", "own:DEPTH", "top5_error", "own:TIME", "own:DOUBT")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a module of objectives in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("own", None)


def test_a_search_with_custom_objectives(here):
    result = toy_search(here / "run", objectives=ALL)  # in separate processes
    assert result.complete
    run = read_run(here / "run")
    assert run.config.settings["objectives"] == list(ALL)
    assert run.config.prepared == {"own:TIME": {"seconds": 1.0}}
    assert (here / "prepared.txt").read_text() == "once\n"
    assert run.config.reference_point["time"] == run.config.reference_point["depth"]
    assert run.config.reference_point["top5_error"] == pytest.approx(0.5)
    for line in run.trained:
        values = line.objectives
        assert list(values) == ["error", "depth", "top5_error", "time", "doubt"]
        assert values["time"] == values["depth"]
        assert 0.1 < values["doubt"] < 1
    with open(here / "run" / "front.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "file", *values, "test_error"]
    header, table = table_rows(run)
    assert header[1:6] == ["depth", "time", "top5 error", "doubt", "validation error"]
    assert [text.endswith(("s", "%")) for text in table[0][1:6]] == [False, True, True, True, True]
    assert read_status(here / "run").front_size == len(rows)


def test_a_search_resumes_with_the_same_objectives(here):
    whole = toy_search(here / "whole", in_process=True, objectives=ALL)
    cut(here / "cut", 7, objectives=ALL)
    assert toy_search(here / "cut", in_process=True, resume=True).complete
    assert results(here / "cut") == results(whole.workdir)
    assert (here / "prepared.txt").read_text() == "once\n" * 2  # not for the resumption


def test_a_limit_on_a_prepared_objective_that_is_not_minimized(here):
    chosen = {"objectives": ("error", "own:DEPTH"), "limit": {"own:TIME": 22}}  # 4 * 0.25 per layer
    toy_search(here / "whole", in_process=True, **chosen)
    run = read_run(here / "whole")
    assert max(line.objectives["depth"] for line in run.trained) <= 22
    exceeded = [p.exceeded for p in run.store.proposals.read() if p.outcome == "over_limit"]
    assert exceeded
    assert all(list(values) == ["time"] and values["time"] > 22 for values in exceeded)
    cut(here / "cut", 6, **chosen)
    assert toy_search(here / "cut", in_process=True, resume=True).complete
    assert results(here / "cut") == results(here / "whole")


def test_nothing_is_prepared_for_a_folder_that_holds_a_run(here):
    cut(here / "run", 2, objectives=ALL)
    assert (here / "prepared.txt").read_text() == "once\n"
    with pytest.raises(StoreError, match="already holds a run"):
        toy_search(here / "run", objectives=ALL)
    assert (here / "prepared.txt").read_text() == "once\n"


def test_a_missing_module_is_reported_in_one_line(here, capsys):
    toy_search(here / "run", in_process=True, num_generations=0, objectives=ALL)
    del sys.modules["own"]
    (here / "own.py").unlink()
    for command in (["report", "run"], ["search", "--resume", "--workdir", "run"]):
        assert main(command) in (1, 2)
        words = capsys.readouterr().err
        assert len(words.splitlines()) == 1
        assert "importing own raised ModuleNotFoundError: No module named 'own'" in words
        assert f"the current folder, {here}, or on PYTHONPATH" in words


@pytest.mark.parametrize(
    ("objectives", "error", "message"),
    [
        (("error", "own:BROKEN"), ConfigError, "'broken' returned 0, which has no logarithm"),
        (("error", "own:NONE"), ConfigError, "--objectives: .* no attribute 'NONE'. It has DEPTH"),
        (
            ("error", "own:UNPREPARED"),
            ObjectiveError,
            r"not be prepared: it raised ZeroDivisionError: .*, line 27\)",
        ),
    ],
)
def test_a_search_that_cannot_start_leaves_no_folder(here, objectives, error, message):
    with pytest.raises(error, match=message):
        toy_search(here / "run", in_process=True, objectives=objectives)
    assert not (here / "run").exists()


def test_too_few_classes_for_top5_error(here):
    labels = np.arange(60) % 4
    np.savez("four.npz", x_train=np.zeros((60, 8, 8, 1), np.uint8), y_train=labels)
    with pytest.raises(ConfigError, match=r"'top5_error' is 0 .* requires at least 6 classes"):
        toy_search("run", in_process=True, dataset="four.npz", objectives=ALL[:3])


def test_a_cheap_objective_that_fails_later_ends_the_search_until_it_is_fixed(here, monkeypatch):
    chosen = {"objectives": ("error", "own:DEPTH")}
    whole = toy_search(here / "whole", in_process=True, **chosen)
    depths = [p.cheap_objectives["depth"] for p in read_run(whole.workdir).store.proposals.read()]
    monkeypatch.setenv("DEEPEST", str(max(depths) - 1))
    with pytest.raises(SearchError, match=r"'depth' raised KeyError: 'too deep' .*; fix the obj"):
        toy_search(here / "run", in_process=True, **chosen)
    assert len(read_run(here / "run").history) >= 4
    monkeypatch.delenv("DEEPEST")
    assert toy_search(here / "run", in_process=True, resume=True).complete
    assert results(here / "run") == results(here / "whole")


def test_an_expensive_objective_that_fails_is_a_failure_of_the_child(here, monkeypatch):
    chosen = {"objectives": ("error", "own:DEPTH", "own:DOUBT"), "in_process": True}
    whole = read_run(toy_search(here / "whole", **chosen).workdir)
    depths = [line.objectives["depth"] for line in whole.history if line.generation == 1]
    monkeypatch.setenv("FAIL", str(depths[0]))
    run = read_run(toy_search(here / "run", **chosen).workdir)
    failed = [line for line in run.history if line.failure is not None]
    assert failed
    for line in failed:
        assert line.failure.startswith(
            "ObjectiveError: the objective 'doubt' raised ValueError: no such luck"
        )
        assert "no such luck" in line.log
        assert line.objectives["doubt"] is None
        assert line.objectives["depth"] == depths[0]


def test_an_expensive_objective_that_always_fails_ends_the_search(here, monkeypatch):
    (here / "own.py").write_text(MODULE.replace('if os.environ.get("FAIL")', "if True or str"))
    with pytest.raises(SearchError, match=r"0-2 failed .* same .* 'doubt' .*[^.]\. See \S*logs; "):
        toy_search(here / "run", in_process=True, objectives=("error", "own:DEPTH", "own:DOUBT"))


def test_the_command_finds_an_objective_in_the_current_folder(here, capsys):
    given = {**SETTINGS, "objectives": "error,own:DEPT"}
    arguments = [f"--{name}={value}" for name, value in given.items()]
    assert main(["search", *arguments]) == 2
    words = capsys.readouterr().err
    assert re.search(r"--objectives: objective 'own:DEPT': module own has no .* 'DEPT'", words)
    assert set(os.listdir(here)) <= {"own.py", "__pycache__"}
