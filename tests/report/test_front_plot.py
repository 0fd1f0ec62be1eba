"""The front over the generations in two objectives."""

import numpy as np
import pytest
from runs import line, make_run, make_run_in, make_small_run

from lemonade_tf.objectives import MULTIPLY_ADDS, PARAMETERS
from lemonade_tf.report import front_figure, shown_generations, staircase
from lemonade_tf.runs import read_run


def test_errors_are_in_percent_and_parameters_on_a_log_axis(tmp_path):
    run = read_run(make_run(tmp_path / "run"))
    (axes,) = front_figure(run, PARAMETERS).axes
    assert axes.get_xscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("parameters", "validation error (%)")
    last = axes.lines[-1]
    assert last.get_label() == "generation 2"
    assert list(last.get_xdata()) == [800, 4_000, 50_000]
    assert list(last.get_ydata()) == pytest.approx([25, 15, 10])
    assert last.get_marker() == "o"
    (dots,) = axes.collections
    assert len(dots.get_offsets()) == len(run.trained)


def test_networks_with_equal_errors_are_on_one_step(tmp_path):
    values = ((1_000, 0.20, 0.23), (2_000, 0.20, 0.21), (3_000, 0.20, 0.22), (4_000, 0.1, 0.1))
    history = [
        line(f"0-{i}", error, size, ranked_errors={"error": rank})
        for i, (size, error, rank) in enumerate(values)
    ]
    run = read_run(make_run(tmp_path / "run", history))
    (axes,) = front_figure(run, PARAMETERS).axes
    assert list(axes.lines[-1].get_xdata()) == [1_000, 2_000, 4_000]
    assert list(axes.lines[-1].get_ydata()) == pytest.approx([20, 20, 10])


@pytest.mark.parametrize(
    ("objective", "sizes", "errors"),
    [
        (PARAMETERS, [1_000, 5_000], [30, 20]),
        (MULTIPLY_ADDS, [1_000, 8_000], [25, 20]),
    ],
)
def test_with_three_objectives_steps_show_two_and_dots_all(tmp_path, objective, sizes, errors):
    run = make_small_run(tmp_path / "run")
    (axes,) = front_figure(run, objective).axes
    steps = axes.lines[-1]
    assert list(steps.get_xdata()) == sizes
    assert list(steps.get_ydata()) == pytest.approx(errors)
    assert steps.get_marker() == ""
    all_networks, members = axes.collections
    assert len(all_networks.get_offsets()) == 4
    assert members.get_label() == "front in all 3 objectives"
    expected = [
        (line.objectives[objective.name], 100 * line.objectives["error"]) for line in run.front()
    ]
    np.testing.assert_allclose(members.get_offsets(), expected)
    assert {line.id for line in run.front()} == {"0-0", "0-1", "1-0"}


def test_expensive_objectives_are_plotted_against_the_error(tmp_path):
    run = make_run_in(tmp_path / "run", 7)
    (axes,) = front_figure(run, run.others[-1]).axes
    assert axes.get_xlabel() == "top5 error (%)"
    assert axes.get_xscale() == "linear"
    members = axes.collections[-1].get_offsets()
    top5 = [100 * line.objectives["top5_error"] for line in run.front()]
    assert list(members[:, 0]) == pytest.approx(top5)


def test_the_staircase_of_a_front_is_that_of_all_networks(tmp_path):
    run = make_run_in(tmp_path / "run", 5)
    for objective in run.others:
        steps = staircase(run.front(), objective, run.error)
        assert steps == staircase(run.trained, objective, run.error)
        errors = [line.objectives["error"] for line in steps]
        assert errors == sorted(errors, reverse=True)
    assert staircase([], *run.objectives[:2]) == []


@pytest.mark.parametrize("num_networks", [0, 1])
def test_a_front_of_at_most_one_network(tmp_path, num_networks):
    run = make_run_in(tmp_path / "run", 3, num_networks)
    (axes,) = front_figure(run, PARAMETERS).axes
    assert len(axes.collections[-1].get_offsets()) == num_networks


@pytest.mark.parametrize(
    ("last", "shown"),
    [(0, [0]), (3, [0, 1, 2, 3]), (10, [0, 1, 2, 5, 10]), (100, [0, 1, 5, 22, 100])],
)
def test_few_fronts_are_shown_including_the_first_and_the_last(last, shown):
    assert shown_generations(last) == shown
