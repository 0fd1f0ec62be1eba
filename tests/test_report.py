import numpy as np
import pytest
from runs import CONFIG, HISTORY, line, make_run

from lemonade_tf.objectives import PARAMETERS
from lemonade_tf.operators import APPROXIMATE_IN_CELLS, EXACT_IN_CELLS
from lemonade_tf.report import (
    front_figure,
    hypervolume_figure,
    read_run,
    shown_generations,
    table_rows,
    write_report,
)

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(tmp_path):
    return read_run(make_run(tmp_path / "run"))


def ids(lines):
    return [entry["id"] for entry in lines]


def test_the_front_after_each_generation(run):
    assert ids(run.front(0)) == ["0-0", "0-1", "0-2"]
    assert ids(run.front(1)) == ["0-0", "1-0", "0-2"]
    assert ids(run.front(2)) == ids(run.front()) == ["2-1", "1-0", "0-2"]
    assert run.num_generations == 2


def test_failed_networks_are_left_out(run):
    assert len(run.history) == len(HISTORY)
    assert "1-3" not in ids(run.trained)


def test_of_equal_networks_the_first_is_on_the_front(tmp_path):
    history = (line("0-0", 0.3, 1000), line("1-0", 0.3, 1000))
    assert ids(read_run(make_run(tmp_path / "run", history)).front()) == ["0-0"]


def test_the_hypervolume_never_falls_and_ends_at_that_of_the_front(run):
    values = run.hypervolumes()
    assert len(values) == len(run.trained)
    assert (np.diff(values) >= 0).all()
    # By hand: steps of the front in error times log10(parameters), from the smallest network on.
    steps = [(0.25, 800, 4_000), (0.15, 4_000, 50_000), (0.10, 50_000, 500_000)]
    expected = sum((0.9 - error) * np.log10(after / size) for error, size, after in steps)
    assert values[-1] == pytest.approx(expected, rel=1e-12)


def test_the_report_is_a_page_and_pictures(run):
    page = write_report(run)
    assert page.name == "report.html"
    text = page.read_text()
    for name in ("pareto_front", "hypervolume"):
        picture = run.store.path / "plots" / f"{name}.png"
        assert picture.read_bytes().startswith(PNG)
        assert f"plots/{name}.png" in text
    assert "15.00 %" in text
    assert "widen_convolution" in text


def test_each_cheap_objective_gets_a_picture(tmp_path):
    names = ["error", "parameters", "multiply_adds"]
    history = [line(f"0-{i}", 0.1 * (i + 1), 1000) for i in range(3)]
    for i, entry in enumerate(history):
        entry["objectives"]["multiply_adds"] = 10_000 // (i + 1)
    reference = {**CONFIG["reference"], "multiply_adds": 1e6}
    config = {**CONFIG, "objectives": names, "reference": reference}
    run = read_run(make_run(tmp_path / "run", history, config))
    write_report(run)
    assert sorted(p.name for p in (run.store.path / "plots").iterdir()) == [
        "hypervolume.png",
        "pareto_front.png",
        "pareto_front_multiply_adds.png",
    ]


def test_the_front_is_drawn_in_percent_on_a_log_axis(run):
    (axes,) = front_figure(run, PARAMETERS).axes
    assert axes.get_xscale() == "log"
    last = axes.lines[-1]
    assert last.get_label() == "generation 2"
    assert list(last.get_xdata()) == [800, 4_000, 50_000]
    assert list(last.get_ydata()) == pytest.approx([25, 15, 10])
    (dots,) = axes.collections
    assert len(dots.get_offsets()) == len(run.trained)


def test_the_hypervolume_names_its_reference_point(run):
    (axes,) = hypervolume_figure(run).axes
    assert axes.get_title(loc="left") == "Reference point: error 0.9, parameters 500,000"


def test_a_run_without_networks_still_has_a_report(tmp_path):
    run = read_run(make_run(tmp_path / "run", history=()))
    assert run.front() == []
    assert write_report(run).exists()


@pytest.mark.parametrize(
    ("last", "shown"),
    [(0, [0]), (3, [0, 1, 2, 3]), (10, [0, 1, 2, 5, 10]), (100, [0, 1, 5, 22, 100])],
)
def test_few_fronts_are_drawn_the_first_and_the_last_among_them(last, shown):
    assert shown_generations(last) == shown


def test_the_cells_of_a_run_are_numbered_from_the_largest(tmp_path):
    """Section 5.1: "Cell 0 denotes the largest cell, while Cell 21 denotes the smallest"."""
    names = [operator.name for operator in (*EXACT_IN_CELLS, *APPROXIMATE_IN_CELLS)][:3]
    history = (*HISTORY[:3], line("1-0", 0.15, 4_000, operators=names))
    run = read_run(make_run(tmp_path / "run", history, {**CONFIG, "space": "cells"}))
    header, rows = table_rows(run)
    assert header[:3] == ["id", "cell", "parameters"]
    assert [row[:3] for row in rows] == [
        ["0-0", "Cell 2", "1,000"],
        ["1-0", "Cell 1", "4,000"],
        ["0-2", "Cell 0", "50,000"],
    ]
    assert rows[1][-1] == "insert_convolution, widen_convolution, add_skip"
    text = write_report(run).read_text()
    assert "<th>cell</th>" in text
    assert "<td>Cell 0</td>" in text


def test_the_table(run):
    header, rows = table_rows(run)
    assert header == ["id", "parameters", "validation error", "test error", "made by"]
    assert rows[0] == ["2-1", "800", "25.00 %", "26.00 %", "widen_convolution"]
    assert rows[-1] == ["0-2", "50,000", "10.00 %", "11.00 %", "initial"]
