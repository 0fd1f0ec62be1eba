"""The front as a table: its cells as text; in a terminal; as HTML."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from itertools import chain

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from lemonade_tf.objectives.builtin import PARAMETERS
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.quantities import in_words, written
from lemonade_tf.runs.run import Run
from lemonade_tf.store import NetworkRecord

IN_CELLS = "_in_cells"  # ends the names of the operators of space II
MADE_BY = 24  # characters that the column takes at least


def table_rows(run: Run) -> tuple[list[str], list[list[str]]]:
    """Return the front as a header and rows of text, by the first cheap objective.

    The cheap objectives come first, then other expensive ones, the error, and the test errors on
    all data sets. An inference time that was foretold is followed by that which was measured.
    The cells of space II have numbers as in the paper: Cell 0 is that of the largest network, by
    parameters where these are an objective, else by the first cheap objective.
    """
    front = run.front()
    of_cells = run.config.space == "cells"
    objectives = (*run.others, run.error)
    titles = chain.from_iterable(_titles(run, o) for o in objectives)
    tests = ["test error", *(f"test error {name}" for name in run.extra_datasets)]
    header = ["id", *(["cell"] if of_cells else ()), *titles, *tests, "made by"]
    numbers = _cell_numbers(run, front)
    rows = []
    for line in front:
        rows.append(
            [
                line.id,
                *([f"Cell {numbers[line.id]}"] if of_cells else ()),
                *chain.from_iterable(_values(run, o, line) for o in objectives),
                *_test_errors(run, line),
                made_by(line),
            ]
        )
    return header, rows


def _cell_numbers(run: Run, front: Sequence[NetworkRecord]) -> dict[str, int]:
    """Return the numbers of the cells of a front by id, from the largest network on."""
    names = [objective.name for objective in run.others]
    size = PARAMETERS.name if PARAMETERS.name in names else names[0]
    by_size = sorted(front, key=lambda line: line.objectives[size])
    return {line.id: number for number, line in enumerate(reversed(by_size))}


def _titles(run: Run, objective: Objective) -> list[str]:
    title = in_words(objective)
    return [title, f"{title} measured"] if objective.name in run.measured_seconds else [title]


def _values(run: Run, objective: Objective, line: NetworkRecord) -> list[str]:
    """Return the value of an objective as text, and what was measured, if anything was."""
    texts = [written(objective, line.objectives[objective.name])]
    if objective.name in run.measured_seconds:
        seconds = run.measured_seconds[objective.name].get(line.id)
        texts.append("" if seconds is None else written(objective, seconds))
    return texts


def _test_errors(run: Run, line: NetworkRecord) -> list[str]:
    errors = line.test_errors.values()
    return ["" if error is None else written(run.error, error) for error in errors]


def made_by(line: NetworkRecord) -> str:
    """Return what led from the parent to a network, in words."""
    names = (name.removesuffix(IN_CELLS) for name in line.operator_names)
    counts = Counter(names)
    times = (f"{count} x {name}" if count > 1 else name for name, count in counts.items())
    return ", ".join(times) or ("random" if line.generation else "initial")


def print_table(run: Run, console: Console) -> None:
    """Print the front.

    With more than two objectives, headers take several lines, and how a network was made is left
    out where there is no room for it. Numbers are never cut: what is too wide for the console goes
    on beyond its edge.
    """
    header, rows = table_rows(run)
    if len(run.objectives) == 2:
        console.print(_text_table(header, rows))
        return
    header = [name.replace(" ", "\n").replace("-", "-\n") for name in header[:-1]] + header[-1:]
    if _width(_text_table(header[:-1], rows)) + MADE_BY > console.width:
        header, rows = header[:-1], [row[:-1] for row in rows]
        console.width = max(console.width, _width(_text_table(header, rows)))
    console.print(_text_table(header, rows))


def _text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title="Pareto front", title_justify="left", box=None, header_style="bold")
    for name in header:
        table.add_column(name, justify="left" if name in ("id", "made by") else "right")
    for row in rows:
        table.add_row(*row[: len(header)])
    return table


def _width(table: Table) -> int:
    """Return how many characters wide a table is if nothing is cut."""
    console = Console(width=1000)
    return Measurement.get(console, console.options, table).maximum


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } img { max-width: 100% }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #ddd }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left }
td:not(:last-child) { white-space: nowrap }
""".strip()


def html_table(run: Run) -> str:
    """Return the front as a table of HTML."""
    header, rows = table_rows(run)
    cells = "".join(f"<th>{html.escape(text)}</th>" for text in header)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{lines}</table>"
