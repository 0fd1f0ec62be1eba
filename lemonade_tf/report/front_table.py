"""The front as a table: as rows of text, and printed on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from rich.console import Console

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.formatting import display_name, format_value
from lemonade_tf.runs.choosing import other_sizes
from lemonade_tf.runs.front import remark_on_ties
from lemonade_tf.runs.run import Run
from lemonade_tf.store import NetworkRecord
from lemonade_tf.terminal import print_line, print_rows

IN_CELLS = "_in_cells"  # suffix of the operators of space II


def table_rows(run: Run) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the front, sorted by the first cheap objective.

    The cheap objectives come first, then other expensive ones, the error, and the test errors on
    all data sets. A predicted inference time or int8 size is followed by the measured one; measured
    sizes that are no objectives come after the objectives. The cells of space II
    are numbered as in the paper: Cell 0 is that of the largest network, by parameters where these
    are an objective, else by the first cheap objective.
    """
    front = run.front()
    has_cells = run.config.space == "cells"
    objectives = (*run.others, run.error)
    measured = other_sizes(run)
    titles = chain.from_iterable(_titles(run, objective) for objective in objectives)
    tests = ["test error", *(f"test error {name}" for name in run.extra_datasets)]
    sizes = [f"{display_name(objective)} measured" for objective in measured]
    header = ["id", *(["cell"] if has_cells else ()), *titles, *sizes, *tests, "made by"]
    numbers = _cell_numbers(run, front)
    rows = [
        [
            network.id,
            *([f"Cell {numbers[network.id]}"] if has_cells else ()),
            *chain.from_iterable(_values(run, objective, network) for objective in objectives),
            *(_measured(run, objective, network) for objective in measured),
            *_test_errors(run, network),
            made_by(network),
        ]
        for network in front
    ]
    return header, rows


def _cell_numbers(run: Run, front: Sequence[NetworkRecord]) -> dict[str, int]:
    """Return the numbers of the cells of a front by id, 0 for the largest network."""
    by_size = sorted(front, key=lambda network: network.objectives[run.size.name])
    return {network.id: number for number, network in enumerate(reversed(by_size))}


def _titles(run: Run, objective: Objective) -> list[str]:
    title = display_name(objective)
    return [title, f"{title} measured"] if objective.name in run.measured else [title]


def _values(run: Run, objective: Objective, network: NetworkRecord) -> list[str]:
    """Return the formatted value of an objective, followed by the measured one if it has any."""
    texts = [format_value(objective, network.objectives[objective.name])]
    if objective.name in run.measured:
        texts.append(_measured(run, objective, network))
    return texts


def _measured(run: Run, objective: Objective, network: NetworkRecord) -> str:
    value = run.measured[objective.name].get(network.id)
    return "" if value is None else format_value(objective, value)


def _test_errors(run: Run, network: NetworkRecord) -> list[str]:
    errors = network.test_errors.values()
    return ["" if error is None else format_value(run.error, error) for error in errors]


def made_by(network: NetworkRecord) -> str:
    """Return the operators that made a network from its parent, as "2 x prune, add_skip"."""
    counts = Counter(name.removesuffix(IN_CELLS) for name in network.operator_names)
    parts = (f"{count} x {name}" if count > 1 else name for name, count in counts.items())
    return ", ".join(parts) or ("random" if network.generation else "initial")


def print_table(run: Run, console: Console) -> None:
    """Print the front in a form that fits the width of the console; numbers are never cut."""
    header, rows = table_rows(run)
    compact = len(run.objectives) > 2
    print_rows(console, "Pareto front", header, rows, text="made by", compact=compact)
    print_tie_break(run.front(), console)


def print_tie_break(networks: Sequence[NetworkRecord], console: Console) -> None:
    """Print why several networks have the same error, if the search ranked them."""
    if remark := remark_on_ties(networks):
        print_line(console, f"Ties        {remark}")
