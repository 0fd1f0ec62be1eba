"""The axes of plots."""

import pytest
from run_folders import network

from lemonade_tf.objectives import Objective
from lemonade_tf.report.axes import format_axis, format_small_axis
from lemonade_tf.report.figure import new_figure
from lemonade_tf.report.scales import limits

LOG = Objective("memory", "log", compute=len, unit="B")


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
    format_small_axis(
        axes, "y", LOG, [network("0-0", objectives={"memory": value}) for value in (900, 2_000_000)]
    )
    assert axes.get_yscale() == "log"
    assert axes.get_ylim() == pytest.approx(limits(LOG, 900, 2_000_000))
    assert texts(axes.yaxis) == ["10 kB", "1 MB"]
