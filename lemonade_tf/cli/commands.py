"""What each subcommand does."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.table import Table

from lemonade_tf.cli.failure import fail
from lemonade_tf.config import make_config
from lemonade_tf.retraining import RetrainConfig


def say(console: Console, text: str) -> None:
    """Write a line as it is: brackets in a path or a failure are no markup."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def run_search(options: argparse.Namespace) -> int:
    """Search, and print the front."""
    given = {k: v for k, v in vars(options).items() if k != "run"}
    if not given["resume"]:  # before what takes a while to import
        make_config(**{k: v for k, v in given.items() if k != "resume"})
    from lemonade_tf.monitoring.progress import ProgressDisplay
    from lemonade_tf.search import search

    console = Console()
    result = search(callbacks=[ProgressDisplay(console)], **given)
    if not (result.complete or result.stopped):
        say(console, "Ended at --max_hours; what was found by then is whole.")
    _show(str(result.workdir), console)
    if result.stopped:
        return fail(
            f"stopped by Ctrl-C; go on with lemonade-tf search --workdir {result.workdir} --resume"
        )
    return 0


def run_status(options: argparse.Namespace) -> int:
    """Print how far a search has come."""
    from lemonade_tf.monitoring.status import read_status, status_lines

    for line in status_lines(read_status(options.workdir), options.workdir):
        print(line)
    return 0


def run_pin(options: argparse.Namespace) -> int:
    """Have the files of networks kept."""
    from lemonade_tf.store import RunStore

    RunStore.open(options.workdir).models.pin(options.ids)
    return 0


def run_report(options: argparse.Namespace) -> int:
    """Write the report of a run, and print its front."""
    _show(options.workdir, Console())
    return 0


def run_draw(options: argparse.Namespace) -> int:
    """Draw a network of a run."""
    from lemonade_tf.architecture.cells import CellError, extract_cell
    from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
    from lemonade_tf.drawing import draw
    from lemonade_tf.keras_bridge import load_graph
    from lemonade_tf.store import RunStore

    store = RunStore.open(options.workdir)
    graph = load_graph(store.models.find(options.id))
    cost = f"{count_parameters(graph):,} parameters, {count_multiply_adds(graph):,} multiply-adds"
    name, title, of_cell = options.id, f"Network {options.id}: {cost}", False
    with suppress(CellError):
        cell, cells_per_block, filters = extract_cell(graph)
        of_cell = not options.network
    if of_cell:  # its shapes are those of the first of the blocks, and say little
        graph, name = cell.graph, f"{options.id}-cell"
        title = f"Cell of network {options.id} (n = {cells_per_block}, F = {filters})"
    if options.output is None:
        paths = [store.plot_path(f"{name}.{form}") for form in ("png", "svg")]
    else:
        paths = [options.output]
    for path in paths:
        draw(graph, path, title=title, shapes=not of_cell)
        print(path)
    return 0


def run_retrain(options: argparse.Namespace) -> int:
    """Train networks of a run from scratch, and print their test errors."""
    given = vars(options)
    config = RetrainConfig.from_flat({k: v for k, v in given.items() if k in RetrainConfig.names()})
    from lemonade_tf.retraining import retrain

    console = Console()
    result = retrain(
        options.workdir,
        options.ids,
        config,
        on_network_end=lambda record: _show_retrained(record, console),
    )
    if result.rows:
        _show_all_retrained(result.rows, console)
    say(console, f"Files  {result.folder}")
    if result.failures:
        failures = "; ".join(f"{id_}: {failure}" for id_, failure in result.failures.items())
        return fail(f"{len(result.failures)} of the networks failed: {failures}")
    return 0


def _show_retrained(record: Mapping[str, Any], console: Console) -> None:
    """Print a line on a network that was just finished, or failed."""
    from lemonade_tf.monitoring.progress import duration

    after = f"after {duration(record['seconds'])}"
    error = _percent(record["test_error"])
    text = f"failed: {record['failure']}" if record["failure"] else f"test error {error or '-'}"
    for line in (f"{text}, {after}", record["remark"]):
        if line is not None:
            say(console, f"network {record['id']}: {line}")


def _show_all_retrained(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the test errors before and after."""
    errors = {"search_test_error": "in the search", "test_error": "from scratch"}
    table = Table(title="Test error", title_justify="left", box=None, header_style="bold")
    columns = [name for name in rows[0] if name != "file"]
    for name in columns:
        header = errors.get(name, name.replace("_", "-"))
        table.add_column(header, justify="left" if name == "id" else "right")
    for row in rows:
        numbers = [f"{row[name]:,}" for name in columns if name not in ("id", *errors)]
        table.add_row(row["id"], *numbers, *(_percent(row[name]) for name in errors))
    console.print(table)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def _show(workdir: str, console: Console) -> None:
    """Write the report of a run, print its front, and say what to do next."""
    from lemonade_tf.report import print_table, write_report
    from lemonade_tf.runs import read_run

    run = read_run(workdir)
    page = write_report(run)
    front = run.front()
    if not front:
        say(console, f"No network of {run.store.path} has been trained.")
        return
    print_table(run, console)
    example = run.store.models.path(front[-1]["id"])
    say(console, f"Run folder  {run.store.path}")
    say(console, f"Pictures    {page}, {page.parent / 'plots'}")
    say(console, f"Use one     keras.models.load_model({str(example)!r})")
    say(console, "            It takes raw pixels, 0 to 255, and returns class probabilities.")
