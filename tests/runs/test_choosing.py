"""Choosing a network of a front by limits and rules."""

import json
from dataclasses import replace

import pytest
from runs import CONFIG, line, make_run, make_run_in

from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.cli import main
from lemonade_tf.keras_bridge import save_model
from lemonade_tf.objectives import ObjectiveError
from lemonade_tf.report.choice_table import choice_rows
from lemonade_tf.runs import read_run
from lemonade_tf.runs.choosing import (
    ChoiceError,
    NoNetworkError,
    Rule,
    choose,
    knee,
    networks_within,
    parse_rule,
)
from lemonade_tf.search.session import SearchResult
from lemonade_tf.search_spaces import NETWORKS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A front of five networks; the third is the knee in errors and logarithms of parameters."""
    values = ((800, 0.25), (1_000, 0.20), (4_000, 0.04), (20_000, 0.03), (50_000, 0.03 - 0.01))
    history = [line(f"0-{i}", error, size) for i, (size, error) in enumerate(values)]
    return read_run(make_run(tmp_path_factory.mktemp("choosing") / "run", history))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("smallest", "0-0"),
        ("smallest: error<=0.05", "0-2"),
        ("smallest:error <= 3 %", "0-3"),
        ("smallest: error≤0.03, parameters<=20e3", "0-3"),
        ("lowest error", "0-4"),
        ("lowest error: parameters<=1e4", "0-2"),
        ("lowest  parameters: error<=0.2", "0-1"),
        ("knee", "0-2"),
        ("knee: parameters<=1000", "0-0"),
        ("knee:", "0-2"),
    ],
)
def test_rules(run, rule, expected):
    assert choose(run, rule).id == expected


def test_a_condition_that_is_given_twice_counts_where_it_is_stricter():
    assert parse_rule("knee: error<=0.3, error<=20%") == Rule("knee", {"error": 0.2})


@pytest.mark.parametrize(
    "rule", ["", "best", "lowest", "lowest error parameters", "smallest error", ": error<=0.1", 3]
)
def test_what_is_no_rule(run, rule):
    with pytest.raises(ChoiceError, match="expected"):
        choose(run, rule)


@pytest.mark.parametrize(
    "condition", ["error", "error<=", "<=3", "error<=x", "error=0.1", "e<=nan"]
)
def test_what_is_no_condition(run, condition):
    with pytest.raises(ChoiceError, match="expected NAME<=NUMBER"):
        choose(run, f"knee: {condition}")


def test_names_that_cannot_be_chosen_by(run):
    with pytest.raises(ObjectiveError, match="did you mean 'parameters'"):
        choose(run, "lowest paramters")
    with pytest.raises(ChoiceError, match="chosen by its test error is worse than it"):
        choose(run, "lowest test_error")
    with pytest.raises(ChoiceError, match=r"latency was not measured .* error,parameters,latency"):
        choose(run, "knee: latency<=1")


def test_nothing_fits(run):
    with pytest.raises(NoNetworkError, match=r"none of the 5 .* error 0.02, parameters 800\.$"):
        choose(run, "smallest: error<=0.001, parameters<=5")


def test_ties_go_to_the_lowest_error_then_to_the_smallest(tmp_path):
    values = ((1, 0.2, 9), (1, 0.1, 30), (1, 0.1, 20))
    run = make_run_in(tmp_path / "run", 3, 0)
    history = [
        line(f"0-{i}", 0, 1, objectives={"multiply_adds": m, "error": e, "parameters": p})
        for i, (m, e, p) in enumerate(values)
    ]
    run = replace(run, history=history)
    assert choose(run, "lowest multiply_adds").id == "0-2"


def test_the_knee_of_networks_that_are_equal_in_an_objective(run):
    front = run.front()
    assert knee(front[:1], run.objectives) is front[0]
    equal = [replace(n, objectives={**n.objectives, "error": 0.1}) for n in front]
    assert knee(equal, run.objectives) is equal[0]


def test_cheap_objectives_that_were_not_minimized_are_computed_from_the_files(tmp_path):
    graphs = NETWORKS.initial_graphs((8, 8, 1), 10)[:2]
    history = [line("0-0", 0.3, 1_000), line("0-1", 0.2, 2_000)]
    run = read_run(make_run(tmp_path / "run", history, CONFIG))
    for network, graph in zip(history, graphs, strict=True):
        save_model(graph, run.store.models.path(network.id), {})
    cost = count_multiply_adds(graphs[0])
    assert [n.id for n in networks_within(run, {"multiply_adds": cost})] == ["0-0"]
    header, rows = choice_rows(run, run.front(), ["multiply_adds"])
    assert header[1] == "multiply-adds"
    assert rows[0][1] == f"{cost:,}"


def test_the_result_of_a_search_chooses_too(run):
    result = SearchResult(run.store.path, (), 0.0, complete=True)
    assert result.best()["id"] == "0-4"
    assert result.best("smallest: error<=0.05") == {
        "id": "0-2",
        "file": "models/0-2.h5",
        "error": 0.04,
        "parameters": 4_000,
        "test_error": 0.05,
    }


def front(capsys, *arguments):
    status = main(["front", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_the_command_lists_what_fits_and_marks_the_knee(run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    status, out, err = front(capsys, run.store.path, "--limit", "parameters=30e3,error=0.2")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    # 10 validation and 10 test images
    assert lines[2].split("  ")[0].strip() == "0-1"
    assert "4.00 %  0.3 to 33.2 %" in lines[3]
    assert [text.split()[-1] for text in lines[2:5]].count("knee") == 1
    assert "3 of 5 networks" in out
    assert "10 validation images" in out
    assert "0-4" not in out


def test_the_command_chooses_one(run, capsys):
    status, out, _ = front(capsys, run.store.path, "--best", "smallest: error<=5%")
    assert status == 0
    assert f"load_model('{run.store.models.path('0-2')}')" in out
    assert "0-3" not in out
    _, out, _ = front(capsys, run.store.path, "--best", "smallest", "--limit", "error=0.2", "--ids")
    assert out == "0-1\n"
    _, out, _ = front(capsys, run.store.path, "--ids")
    assert out.split() == [f"0-{i}" for i in range(5)]


def test_the_command_prints_json(run, capsys):
    status, out, _ = front(capsys, run.store.path, "--json", "--best", "knee: error<=0.2")
    found = json.loads(out)
    assert status == 0
    assert (found["best"], found["front_size"], found["limit"]) == ("0-2", 5, {"error": 0.2})
    (network,) = found["networks"]
    assert network["objectives"] == {"error": 0.04, "parameters": 4_000}
    assert network["intervals"]["error"] == pytest.approx([0.00348, 0.33185], abs=1e-4)
    _, out, _ = front(capsys, run.store.path, "--json")
    found = json.loads(out)
    assert "best" not in found
    assert len(found["networks"]) == 5


def test_the_exit_status_if_nothing_fits(run, capsys):
    status, out, err = front(capsys, run.store.path, "--limit", "parameters=1")
    assert (status, out) == (1, "")
    assert err.startswith("lemonade-tf: none of the 5 networks")
    status, out, _ = front(capsys, run.store.path, "--limit", "parameters=1", "--json")
    assert (status, json.loads(out)["networks"]) == (1, [])


def test_wrong_rules_of_the_command_are_usage_errors(run, capsys):
    status, _, err = front(capsys, run.store.path, "--best", "cheapest")
    assert status == 2
    assert "'cheapest'" in err
    assert len(err.splitlines()) == 1
