"""Every objective against every other."""

import numpy as np
import pytest
from runs import make_run_in, make_small_run

from lemonade_tf.report import pairs_figure
from lemonade_tf.report.axes import end_labels


def panels(figure):
    return [axes for axes in figure.axes if axes.get_subplotspec() is not None]


def test_three_objectives_have_three_panels(tmp_path):
    figure = pairs_figure(make_small_run(tmp_path / "run"))
    first, second, third = panels(figure)
    for axes, points in (
        (first, [(0.3, 1_000), (0.2, 5_000), (0.25, 6_000)]),
        (second, [(0.3, 9_000), (0.2, 8_000), (0.25, 1_000)]),
        (third, [(1_000, 9_000), (5_000, 8_000), (6_000, 1_000)]),
    ):
        trained, front = axes.collections
        assert len(trained.get_offsets()) == 4
        np.testing.assert_allclose(front.get_offsets(), points)
        np.testing.assert_allclose(front.get_array(), [0.3, 0.2, 0.25])  # the errors: its colors
    assert [axes.get_xlabel() for axes in (first, second, third)] == [
        "",
        "validation error",
        "parameters",
    ]
    assert [axes.get_ylabel() for axes in (first, second, third)] == [
        "parameters",
        "multiply-adds",
        "",
    ]
    assert (third.get_xscale(), third.get_yscale()) == ("log", "log")
    assert first.get_xscale() == "linear"


@pytest.mark.parametrize("num_objectives", [3, 5, 7])
def test_only_the_left_and_the_bottom_panels_have_labels(tmp_path, num_objectives):
    figure = pairs_figure(make_run_in(tmp_path / "run", num_objectives))
    side = num_objectives - 1
    assert len(panels(figure)) == side * num_objectives // 2
    for axes in panels(figure):
        place = axes.get_subplotspec()
        row, column = place.rowspan.start, place.colspan.start
        assert column <= row
        assert axes.xaxis.get_tick_params()["labelbottom"] == (row == side - 1)
        assert axes.yaxis.get_tick_params()["labelleft"] == (column == 0)
        assert len(axes.get_xticks()) <= 3
        low, high = axes.get_xlim()
        x = axes.collections[0].get_offsets()[:, 0]
        assert low < x.min() <= x.max() < high


def test_the_legend_explains_the_colors(tmp_path):
    run = make_run_in(tmp_path / "run", 5)
    figure = pairs_figure(run)
    (bar,) = [axes for axes in figure.axes if axes.get_subplotspec() is None]
    assert bar.get_title(loc="left") == "front in all 5 objectives,\nby validation error"
    assert [text.get_text() for text in bar.get_xticklabels()] == [
        *end_labels(run.error, run.front()).values()
    ]
    assert [text.get_text() for text in figure.texts] == ["pale: all 60 networks"]


@pytest.mark.parametrize("num_networks", [0, 1])
def test_a_front_of_at_most_one_network(tmp_path, num_networks):
    figure = pairs_figure(make_run_in(tmp_path / "run", 5, num_networks))
    assert len(panels(figure)) == 10
    figure.canvas.draw()
