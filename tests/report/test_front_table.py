"""The front as a table."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from runs import (
    CONFIG,
    HISTORY,
    line,
    make_run,
    make_run_in,
    make_small_run,
    with_settings,
)

from lemonade_tf.cli import main
from lemonade_tf.operators import APPROXIMATE_IN_CELLS, EXACT_IN_CELLS
from lemonade_tf.report import print_table, table_rows, write_report
from lemonade_tf.runs import read_run


def test_cells_are_numbered_from_the_largest_network(tmp_path):
    """Section 5.1: "Cell 0 denotes the largest cell, while Cell 21 denotes the smallest"."""
    names = [operator.name for operator in (*EXACT_IN_CELLS, *APPROXIMATE_IN_CELLS)][:3]
    history = (*HISTORY[:3], line("1-0", 0.15, 4_000, operators=names))
    run = read_run(make_run(tmp_path / "run", history, with_settings(CONFIG, space="cells")))
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


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # parameters 1,000, 5,000 and 6,000; multiply-adds 9,000, 8,000 and 1,000
        (["error", "multiply_adds", "parameters"], {"1-0": 0, "0-1": 1, "0-0": 2}),
        (["error", "parameters", "multiply_adds"], {"1-0": 0, "0-1": 1, "0-0": 2}),
        (["error", "multiply_adds"], {"0-1": 0, "1-0": 1}),
    ],
)
def test_cells_are_numbered_by_parameters_if_these_are_an_objective(tmp_path, names, expected):
    run = make_small_run(tmp_path / "run")
    run = replace(run, config=with_settings(run.config, space="cells", objectives=names))
    header, rows = table_rows(run)
    assert header[2] == names[1].replace("_", "-")
    assert {row[0]: row[1] for row in rows} == {i: f"Cell {n}" for i, n in expected.items()}
    column = [float(row[2].replace(",", "")) for row in rows]
    assert column == sorted(column)


def test_the_table_of_two_objectives(tmp_path):
    run = read_run(make_run(tmp_path / "run"))
    header, rows = table_rows(run)
    assert header == ["id", "parameters", "validation error", "test error", "made by"]
    assert rows[0] == ["2-1", "800", "25.00 %", "26.00 %", "widen_convolution"]
    assert rows[-1] == ["0-2", "50,000", "10.00 %", "11.00 %", "initial"]


def test_the_table_of_three_objectives(tmp_path):
    header, rows = table_rows(make_small_run(tmp_path / "run"))
    assert header[1:5] == ["parameters", "multiply-adds", "validation error", "test error"]
    assert [row[:5] for row in rows] == [
        ["0-0", "1,000", "9,000", "30.00 %", "31.00 %"],
        ["0-1", "5,000", "8,000", "20.00 %", "21.00 %"],
        ["1-0", "6,000", "1,000", "25.00 %", "26.00 %"],
    ]


def test_values_have_their_units(tmp_path):
    values = {
        "error": 0.0475,
        "parameters": 81_507,
        "multiply_adds": 1_866_371,
        "file_bytes": 356_100,
        "latency": 0.0058,
        "peak_memory": 900,
        "top5_error": 0.0042,
    }
    header, (row,) = table_rows(make_run_in(tmp_path / "run", 7, 1, **values))
    assert dict(zip(header, row, strict=True)) == {
        "id": "0-0",
        "parameters": "81,507",
        "multiply-adds": "1,866,371",
        "file bytes": "356 kB",
        "latency": "5.80 ms",
        "peak memory": "900 B",
        "top5 error": "0.42 %",
        "validation error": "4.75 %",
        "test error": "51.00 %",
        "made by": "initial",
    }


def printed(run, width):
    console = Console(file=io.StringIO(), width=width)
    print_table(run, console)
    return [text.rstrip() for text in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("num_objectives", [3, 5, 7])
def test_numbers_are_never_truncated_in_a_terminal(tmp_path, num_objectives, width):
    run = make_run_in(tmp_path / "run", num_objectives)
    lines = printed(run, width)
    assert max(map(len, lines)) <= max(width, 88)
    text = "\n".join(lines)
    assert "…" not in text
    for row in table_rows(run)[1]:
        assert "  ".join(row[:1]) in text
        assert all(cell in text for cell in row[:-1])


def test_made_by_is_left_out_in_a_narrow_terminal(tmp_path):
    run = make_run_in(tmp_path / "run", 5)
    assert any(text.endswith("widen_convolution") for text in printed(run, 100))
    assert not any("widen_convolution" in text for text in printed(run, 80))


def test_the_printed_table_of_two_objectives(tmp_path):
    lines = printed(read_run(make_run(tmp_path / "run")), 80)
    assert lines == [
        "Pareto front",
        " id   parameters  validation error  test error  made by",
        " 2-1         800           25.00 %     26.00 %  widen_convolution",
        " 1-0       4,000           15.00 %     16.00 %  widen_convolution",
        " 0-2      50,000           10.00 %     11.00 %  initial",
    ]


@pytest.mark.parametrize(
    ("errors", "explained"), [((0.2, 0.2, 0.1), True), ((0.3, 0.2, 0.1), False)]
)
def test_a_line_explains_equal_errors_where_the_search_ranked_them(
    tmp_path, capsys, errors, explained
):
    history = [
        line(f"0-{i}", error, 1_000 * (i + 1), ranked_errors={"error": error + 0.01 / (i + 1)})
        for i, error in enumerate(errors)
    ]
    run = read_run(make_run(tmp_path / "run", history))
    console = Console(file=io.StringIO(), width=120)
    print_table(run, console)
    assert ("ranked by their cross-entropy" in console.file.getvalue()) == explained
    assert main(["front", str(tmp_path / "run")]) == 0
    assert ("ranked by their cross-entropy" in capsys.readouterr().out) == explained
