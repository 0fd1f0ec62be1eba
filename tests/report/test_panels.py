"""The error against every other objective."""

import pytest
from runs import line, make_run, make_run_in, make_small_run

from lemonade_tf.report import panels_figure
from lemonade_tf.runs import read_run


def test_the_error_is_on_the_x_axis_of_every_panel(tmp_path):
    first, second = panels_figure(make_small_run(tmp_path / "run")).axes
    for axes, name, sizes, errors in (
        (first, "parameters", [5_000, 1_000], [20, 30]),
        (second, "multiply-adds", [8_000, 1_000], [20, 25]),
    ):
        assert axes.get_xlabel() == "validation error (%)"
        assert axes.get_ylabel() == name
        assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
        trained, front = axes.collections
        assert (len(trained.get_offsets()), len(front.get_offsets())) == (4, 3)
        (steps,) = axes.lines
        assert list(steps.get_ydata()) == sizes
        assert list(steps.get_xdata()) == pytest.approx(errors)


def test_a_step_starts_from_the_smallest_of_networks_with_equal_errors(tmp_path):
    values = ((500, 0.3, 0.3), (1_000, 0.2, 0.23), (2_000, 0.2, 0.21), (4_000, 0.1, 0.1))
    history = [
        line(f"0-{i}", error, size, ranked_errors={"error": rank})
        for i, (size, error, rank) in enumerate(values)
    ]
    figure = panels_figure(read_run(make_run(tmp_path / "run", history)))
    (steps,) = figure.axes[0].lines
    assert list(steps.get_xdata()) == pytest.approx([10, 20, 20, 30])
    assert list(steps.get_ydata()) == [4_000, 2_000, 1_000, 500]


@pytest.mark.parametrize(("num_objectives", "columns"), [(3, 2), (4, 3), (5, 2), (7, 3)])
def test_every_other_objective_has_a_panel(tmp_path, num_objectives, columns):
    figure = panels_figure(make_run_in(tmp_path / "run", num_objectives))
    assert len(figure.axes) == num_objectives - 1
    assert figure.axes[0].get_gridspec().ncols == columns
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "all networks",
        f"front in all {num_objectives} objectives",
        "front in the two objectives of a panel",
    ]


@pytest.mark.parametrize("num_networks", [0, 1])
def test_a_front_of_at_most_one_network(tmp_path, num_networks):
    figure = panels_figure(make_run_in(tmp_path / "run", 5, num_networks))
    assert len(figure.axes[0].collections[1].get_offsets()) == num_networks
