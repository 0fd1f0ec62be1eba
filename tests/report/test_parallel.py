"""The front in parallel coordinates."""

from math import log

import pytest
from runs import make_run_in, make_small_run

from lemonade_tf.report import parallel_figure
from lemonade_tf.report.axes import MIN_DISTANCE, end_labels, tick_labels
from lemonade_tf.report.scales import positions


def networks(axes):
    return [line for line in axes.lines if line.get_marker() == "o"]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_one_line_per_network_the_lowest_error_on_top(tmp_path):
    (axes,) = parallel_figure(make_small_run(tmp_path / "run")).axes
    high = log(5) / log(6)
    expected = [
        [1, 0, 1],  # 0-0
        [0.5, 1, 0],  # 1-0
        [0, high, log(8) / log(9)],  # 0-1
    ]
    for line, heights in zip(networks(axes), expected, strict=True):
        assert list(line.get_xdata()) == [0, 1, 2]
        assert list(line.get_ydata()) == pytest.approx(heights)
    worst, _, best = networks(axes)
    assert sum(best.get_color()[:3]) < sum(worst.get_color()[:3])  # dark is good
    assert axes.get_title(loc="left") == (
        "3 networks on the front in 3 objectives: low is good, dark is a low validation error"
    )


def test_axes_have_names_and_labels_of_ends_and_round_values(tmp_path):
    run = make_small_run(tmp_path / "run")
    (axes,) = parallel_figure(run).axes
    assert texts(axes) == [
        *("validation error", "20 %", "30 %", "22 %", "24 %", "26 %", "28 %"),
        *("parameters", "1k", "6k", "2k", "5k"),
        *("multiply-adds", "1k", "9k", "2k", "5k"),
    ]


@pytest.mark.parametrize("num_objectives", [3, 5, 7])
def test_every_network_of_the_front_crosses_every_axis(tmp_path, num_objectives):
    run = make_run_in(tmp_path / "run", num_objectives)
    figure = parallel_figure(run)
    (axes,) = figure.axes
    lines = networks(axes)
    assert len(lines) == len(run.front())
    for line in lines:
        assert len(line.get_ydata()) == num_objectives
        assert all(0 <= y <= 1 for y in line.get_ydata())
    assert figure.get_size_inches()[0] == pytest.approx(max(7.5, 1.6 * num_objectives + 0.6))
    for objective in run.objectives:
        assert list(end_labels(objective, run.front())) == [0, 1]
        ticks = tick_labels(objective, run.front())
        assert all(MIN_DISTANCE < at < 1 - MIN_DISTANCE for at in ticks)


def test_equal_values_are_in_the_middle_of_the_axis(tmp_path):
    run = make_run_in(tmp_path / "run", 5, file_bytes=2_350, error=0.25)
    for objective, text in ((run.objectives[3], "2.35 kB"), (run.error, "25 %")):
        assert positions(objective, run.front()) == pytest.approx([0.5] * len(run.front()))
        assert end_labels(objective, run.front()) == {0.5: text}
        assert tick_labels(objective, run.front()) == {}
    parallel_figure(run).canvas.draw()


def test_a_front_of_one_network(tmp_path):
    (axes,) = parallel_figure(make_run_in(tmp_path / "run", 5, 1)).axes
    (line,) = networks(axes)
    assert list(line.get_ydata()) == pytest.approx([0.5] * 5)
    assert axes.get_title(loc="left").startswith("1 network on the front")


def test_an_empty_front(tmp_path):
    (axes,) = parallel_figure(make_run_in(tmp_path / "run", 3, 0)).axes
    assert texts(axes) == ["validation error", "parameters", "multiply-adds"]
