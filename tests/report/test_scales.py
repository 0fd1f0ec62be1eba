"""The axes of plots."""

import pytest
from run_folders import network

from lemonade_tf.objectives import Objective
from lemonade_tf.report.figure import new_figure
from lemonade_tf.report.scales import extent, format_axis, format_small_axis, limits, tick_values

LOG = Objective("memory", "log", compute=len, unit="B")
LINEAR = Objective("any", "linear", compute=len)


def lines(*values):
    return [network("0-0", objectives={"memory": value, "any": value}) for value in values]


@pytest.mark.parametrize(
    ("objective", "low", "high", "most", "ticks"),
    [
        (LOG, 900, 2_000_000, 4, [1e3, 1e4, 1e5, 1e6]),
        (LOG, 900, 2_000_000, 3, [1e4, 1e6]),
        (LOG, 2_000, 90_000, 4, [3e3, 1e4, 3e4]),
        (LOG, 2_100, 9_000, 3, [2.5e3, 5e3, 7.5e3]),
        (LOG, 12_100, 12_900, 3, [12_250, 12_500, 12_750]),
        (LINEAR, 0, 1, 3, [0, 0.5, 1]),
        (LINEAR, 0.031, 0.456, 5, [0.1, 0.2, 0.3, 0.4]),
        (LINEAR, -3, 3, 4, [-2, 0, 2]),
    ],
)
def test_ticks_are_round_values(objective, low, high, most, ticks):
    assert tick_values(objective, low, high, most) == pytest.approx(ticks)


def test_the_extent_of_equal_values_is_widened():
    assert extent(LOG, lines(600, 600)) == (400, 900)
    assert extent(LINEAR, lines(3)) == (1.5, 4.5)
    assert extent(LINEAR, lines(0)) == (-1, 1)
    assert extent(LINEAR, lines(1, 3, 2)) == (1, 3)
    assert extent(LOG, []) == pytest.approx((1 / 1.5, 1.5))


def test_limits_leave_a_margin():
    assert limits(LINEAR, 0, 100) == (-6, 106)
    assert limits(LOG, 1, 100) == pytest.approx((10**-0.12, 10**2.12))


def texts(axis):
    axis.axes.figure.canvas.draw()
    labels = axis.get_ticklabels() + axis.get_ticklabels(minor=True)
    low, high = sorted(axis.get_view_interval())
    ends = [*axis.get_ticklocs(), *axis.get_ticklocs(minor=True)]
    shown = zip(labels, ends, strict=True)
    return [label.get_text() for label, at in shown if label.get_text() and low <= at <= high]


def test_a_large_axis_has_units():
    _, axes = new_figure()
    axes.plot([900, 2_000_000], [0, 50])
    format_axis(axes, "x", LOG)
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "memory"
    assert texts(axes.xaxis) == ["1 kB", "10 kB", "100 kB", "1 MB"]


def test_a_log_axis_within_a_power_of_ten_has_minor_labels():
    _, axes = new_figure()
    axes.plot([2_000, 4_000], [0, 50])
    format_axis(axes, "x", LOG)
    assert texts(axes.xaxis) == ["2 kB", "3 kB", "4 kB"]


def test_a_small_axis_has_few_labels():
    _, axes = new_figure()
    format_small_axis(axes, "y", LOG, lines(900, 2_000_000))
    assert axes.get_yscale() == "log"
    assert axes.get_ylim() == pytest.approx(limits(LOG, 900, 2_000_000))
    assert texts(axes.yaxis) == ["10 kB", "1 MB"]
