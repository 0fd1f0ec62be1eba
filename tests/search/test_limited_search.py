"""Searches with limits on cheap objectives, and with another scale of an objective."""

from collections import Counter

import pytest
from toy_training import cut, results, toy_executor, toy_search

from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.baselines.comparison import ComparisonError, compare
from lemonade_tf.baselines.random_search import random_search
from lemonade_tf.cli import main
from lemonade_tf.config import ConfigError
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.report import front_figure, write_report
from lemonade_tf.runs import read_run

MANY = {"num_generations": 4, "num_proposed": 20, "num_accepted": 8, "in_process": True}
LIMIT = {"parameters": 60_000, "multiply_adds": 500_000}


class Accepted(Callback):
    """Keeps the children that are trained."""

    def __init__(self):
        self.children = []

    def on_generation_begin(self, state, proposals):
        self.children += [p.individual for p in proposals if p.outcome == "accepted"]


@pytest.mark.parametrize("sampling", ["density", "uniform"])
def test_no_network_over_a_limit_is_trained(tmp_path, caplog, sampling):
    accepted = Accepted()
    toy_search(tmp_path / "run", limit=LIMIT, sampling=sampling, callbacks=[accepted], **MANY)
    run = read_run(tmp_path / "run")
    assert run.config.settings["limit"] == LIMIT
    assert run.config.num_initial == 2
    assert run.config.reference_point["parameters"] < 10 * 60_000
    assert max(line.objectives["parameters"] for line in run.trained) <= 60_000
    assert len(accepted.children) == 4 * 8
    assert max(count_multiply_adds(child.architecture) for child in accepted.children) <= 500_000
    proposals = run.store.proposals.read()
    outcomes = Counter(line.outcome for line in proposals)
    assert outcomes["over_limit"] > 5
    assert outcomes["accepted"] == 4 * 8
    for line in proposals:
        assert bool(line.exceeded) == (line.outcome == "over_limit")
        assert all(value > LIMIT[name] for name, value in line.exceeded.items())
    (warning,) = [r.getMessage() for r in caplog.records if "initial networks" in r.getMessage()]
    assert warning == (
        "2 of 4 initial networks are over --limit parameters=60,000, multiply_adds=500,000,"
        " and are left out."
    )


def test_a_limited_search_is_resumed(tmp_path):
    settings = {k: v for k, v in MANY.items() if k != "in_process"}
    toy_search(tmp_path / "whole", limit=LIMIT, **MANY)
    cut(tmp_path / "cut", 15, limit=LIMIT, **settings)
    for other in ({}, {"parameters": 60_000}, {**LIMIT, "parameters": 70_000}):
        with pytest.raises(ConfigError, match="--limit was parameters=60000,multiply_adds=500000"):
            toy_search(tmp_path / "cut", resume=True, **{**MANY, "limit": other})
    assert toy_search(tmp_path / "cut", resume=True, limit=LIMIT, **MANY).complete
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def test_limits_cannot_be_added_on_resuming(tmp_path):
    toy_search(tmp_path / "run", in_process=True, num_generations=0)
    with pytest.raises(ConfigError, match="--limit was none, now parameters=60000"):
        toy_search(tmp_path / "run", resume=True, limit={"parameters": 60_000})


@pytest.mark.parametrize(
    "settings", [{}, {"mode": "asynchronous"}, {"preset": "digits_cells", "space": "cells"}]
)
def test_limits_below_all_initial_networks_are_met_by_narrower_ones(tmp_path, caplog, settings):
    settings = {**settings, "limit": {"parameters": 2_000, "multiply_adds": 40_000}}
    result = toy_search(tmp_path / "run", in_process=True, **settings)
    run = read_run(tmp_path / "run")
    sizes = [line.objectives["parameters"] for line in run.trained]
    assert max(sizes) <= 2_000
    assert len(sizes) == 4 + 12
    initial = sizes[: run.config.num_initial]
    assert len(initial) == 4
    assert run.config.reference_point["parameters"] == 10 * max(initial)
    assert {row["id"] for row in result.front} <= {line.id for line in run.trained}
    [warning] = [r.getMessage() for r in caplog.records if "initial networks" in r.getMessage()]
    assert warning.startswith(
        "all initial networks are over --limit parameters=2,000, multiply_adds=40,000; the search"
        f" starts with 4 narrower ones (parameters {min(initial):,} to"
    )
    cut(tmp_path / "cut", 6, **settings)
    assert toy_search(tmp_path / "cut", resume=True, in_process=True, **settings).complete
    assert results(tmp_path / "cut") == results(tmp_path / "run")
    if settings.get("mode") == "asynchronous":
        toy_search(tmp_path / "replay", in_process=True, replay=str(tmp_path / "run"), **settings)
        assert results(tmp_path / "replay") == results(tmp_path / "run")


def test_a_random_search_starts_from_the_same_narrower_networks(tmp_path):
    settings = {"limit": {"parameters": 2_000}, "in_process": True}
    toy_search(tmp_path / "run", num_generations=1, **settings)
    run = read_run(tmp_path / "run")
    random_search(run, str(tmp_path / "random"), seed=0, executor=toy_executor())
    sizes = [line.objectives["parameters"] for line in read_run(tmp_path / "random").trained]
    assert len(sizes) == len(run.trained)
    assert max(sizes) <= 2_000


def test_limits_that_no_network_can_meet_end_the_search_before_it_starts(tmp_path):
    limit = {"parameters": 50, "file_bytes": 2e6}
    with pytest.raises(ConfigError) as caught:
        toy_search(tmp_path / "run", in_process=True, limit=limit)
    assert str(caught.value) == (
        "--limit: none of the 4 initial networks is within parameters=50, file_bytes=2,000,000,"
        " not even with the fewest filters, which gives parameters 59, file_bytes 55,199."
        " Raise the limits."
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--limit", "parameters"], "expected NAME=NUMBER, separated by commas, each name once"),
        (["--limit", "parameters=many"], "parameters=many: expected a number, such as 1e6"),
        (["--limit", "parameters=-5"], "--limit: parameters=-5.0: expected a number greater"),
        (["--limit", "parameters=1,parameters=2"], "each name once"),
        (["--limit", "parameters=1", "--limit", "parameters=2"], "parameters is given twice"),
        (["--limit", "size=1"], "--limit: unknown objective 'size'; expected one"),
        (["--limit", "error=0.1"], "--limit: error=0.1: 'error' is measured on the trained"),
        (["--scale", "parameters"], "expected NAME=log or NAME=linear"),
        (["--scale", "parameters=cubic"], "--scale: parameters=cubic: expected parameters=log or"),
        (["--scale", "multiply_adds=log"], "'multiply_adds' is not an objective of the search"),
        (["--limit", "parameters=1e1"], "--limit: none of the 4 initial networks is within"),
    ],
)
def test_invalid_limits_and_scales_are_usage_errors(
    capsys, tmp_path, monkeypatch, arguments, words
):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["search", *arguments])
    except SystemExit as ended:
        status = ended.code
    err = capsys.readouterr().err
    assert status == 2
    assert len(err.splitlines()) == 1
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_the_scale_applies_to_density_hypervolume_and_plots(tmp_path):
    log = toy_search(tmp_path / "log", **MANY)
    linear = toy_search(tmp_path / "linear", scale={"parameters": "linear"}, **MANY)
    first, second = (read_run(result.workdir) for result in (log, linear))
    assert [line.parent for line in first.store.proposals.read()] != [
        line.parent for line in second.store.proposals.read()
    ]
    assert linear.hypervolume > 1e3 > log.hypervolume  # in parameters, in powers of ten
    assert second.hypervolumes()[-1] == pytest.approx(linear.hypervolume)
    write_report(second)
    scales = [front_figure(run, run.objectives[1]).axes[0].get_xscale() for run in (first, second)]
    assert scales == ["log", "linear"]
    with pytest.raises(ComparisonError, match=r"parameters=linear"):
        compare([first, second])
