"""The interactive front in parallel coordinates."""

import re
from math import log10

import pytest
from runs import make_run_in, make_small_run

from lemonade_tf.report.front_table import table_rows
from lemonade_tf.report.interactive import (
    PAGE,
    ZERO_WIDTH_SPACE,
    interactive_figure,
    spaced_labels,
    write_interactive,
)
from lemonade_tf.report.markup import html_table


def axes_of(run):
    (plot,) = interactive_figure(run).data
    return plot, plot.dimensions


def test_log_axes_have_logarithms_as_values_and_numbers_as_labels(tmp_path):
    run = make_small_run(tmp_path / "run")
    plot, (error, parameters, multiply_adds) = axes_of(run)
    assert error.label == "validation error"
    assert list(error["values"]) == [0.3, 0.2, 0.25]
    assert list(error.range) == [0.2, 0.3]
    assert list(parameters["values"]) == pytest.approx([3, log10(5_000), log10(6_000)])
    assert list(parameters.tickvals) == pytest.approx([3, log10(5_000), log10(6_000)])
    assert [text.strip(ZERO_WIDTH_SPACE) for text in parameters.ticktext] == ["1k", "5k", "6k"]
    assert [text.strip(ZERO_WIDTH_SPACE) for text in multiply_adds.ticktext] == ["1k", "8k", "9k"]
    assert list(plot.line.color) == pytest.approx([1, 0, 0.5**0.5])


@pytest.mark.parametrize("num_objectives", [3, 5, 7])
def test_the_labels_of_an_axis_are_all_different(tmp_path, num_objectives):
    run = make_run_in(tmp_path / "run", num_objectives)
    _, axes = axes_of(run)
    assert len(axes) == num_objectives
    for axis in axes:
        assert len(set(axis.ticktext)) == len(axis.tickvals) == len(set(axis["values"]))


def test_labels_that_would_overlap_are_empty(tmp_path):
    objective = make_small_run(tmp_path / "run").others[0]
    values = {0.0: 100, 0.01: 101, 0.5: 500, 0.99: 990, 1.0: 1_000}
    assert spaced_labels(objective, values) == ["100", "", "500", "", "1k"]


@pytest.mark.parametrize("num_networks", [0, 1])
def test_a_front_of_at_most_one_network(tmp_path, num_networks):
    _, axes = axes_of(make_run_in(tmp_path / "run", 5, num_networks))
    for axis in axes:
        low, high = axis.range
        assert low < high
        assert all(low < value < high for value in axis["values"] or ())


def test_the_page_is_self_contained(tmp_path):
    run = make_small_run(tmp_path / "run")
    write_interactive(run, html_table(*table_rows(run)))
    page = (run.store.path / "plots" / PAGE).read_text()
    assert not re.search(r"<(script|link)[^>]+(src|href)=", page)
    assert page.count("* plotly.js v") == 1
    assert "of 3 networks are selected" in page
    for line in run.front():
        assert f"<td>{line.id}</td>" in page
