"""The functions that the subcommands call."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from lemonade_tf.cli.choosing_commands import print_chosen, run_front
from lemonade_tf.cli.completion import run_completion
from lemonade_tf.cli.export_commands import run_benchmark, run_export
from lemonade_tf.cli.failure import fail, without_messages
from lemonade_tf.cli.page_commands import run_demo, run_watch
from lemonade_tf.errors import PROGRAM, as_path, resume_command, shell_command
from lemonade_tf.presets import make_config
from lemonade_tf.retraining import RetrainConfig, TransferConfig
from lemonade_tf.terminal import make_console, print_line, print_rows

if TYPE_CHECKING:  # keeps --help and --version fast
    from lemonade_tf.store import RetrainedRecord


def run_search(options: argparse.Namespace) -> int:
    """Run a search and print its front."""
    given = {n: value for n, value in vars(options).items() if n not in ("command", "yes")}
    if not given["resume"] and "replay" not in given:  # report usage errors before slow imports
        make_config(**{name: value for name, value in given.items() if name != "resume"})
    console = make_console()
    print_line(console, "Starting a search.")
    from lemonade_tf.cli.confirmation import Confirmation, terminal_reader
    from lemonade_tf.monitoring.progress import ProgressDisplay
    from lemonade_tf.search import search

    progress = ProgressDisplay(console)
    confirmation = Confirmation(progress, given, yes=options.yes, read=terminal_reader())
    try:
        result = search(callbacks=[progress, confirmation], **given)
    except (KeyboardInterrupt, BrokenPipeError) as error:
        workdir = given["workdir"] if given["resume"] else None
        return _interrupted(error, workdir if progress.state is None else progress.state.workdir)
    if not (result.complete or result.stopped):
        state = progress.state
        limit = "max_hours" if state is None or state.config.minutes is None else "minutes"
        print_line(console, f"Ended at --{limit}; all results so far are saved.")
    try:
        _report(str(result.workdir), console)
    except KeyboardInterrupt:
        command = shell_command(PROGRAM, "report", as_path(result.workdir))
        if result.complete:
            return fail(
                f"stopped by Ctrl-C; the search is complete. Write its report with {command}"
            )
    if result.stopped:
        return fail(f"stopped by Ctrl-C; resume with {resume_command(result.workdir)}")
    if not result.complete:
        print_line(console, f"Resume with {resume_command(result.workdir)}")
    return 0


def _interrupted(error: BaseException, workdir: str | Path | None) -> int:
    """Report that a search ended at once, and how to resume it."""
    why = "the output was closed" if isinstance(error, OSError) else "stopped by Ctrl-C"
    if workdir is None:
        return fail(f"{why} before there was a run folder; rerun the command.")
    return fail(
        f"{why}; all completed networks are in {workdir}. Resume with {resume_command(workdir)}"
    )


def run_status(options: argparse.Namespace) -> int:
    """Print the progress of a search."""
    from lemonade_tf.monitoring.status import read_status, status_lines

    console = make_console()
    for line in status_lines(read_status(options.workdir), options.workdir):
        print_line(console, line)
    return 0


def run_pin(options: argparse.Namespace) -> int:
    """Pin networks: their files are kept when they leave the front."""
    from lemonade_tf.store import RunStore

    store = RunStore.open(options.workdir)
    store.pin(options.ids)
    ids = list(dict.fromkeys(options.ids))
    kept = (
        "its file is kept when it leaves"
        if len(ids) == 1
        else "their files are kept when they leave"
    )
    console = make_console()
    print_line(console, f"Pinned {', '.join(ids)}: {kept} the front.")
    print_line(console, f"To unpin a network, remove its line from {store.models.pinned}.")
    return 0


def run_report(options: argparse.Namespace) -> int:
    """Write the report of a run and print its front."""
    _report(options.workdir, make_console())
    return 0


def run_draw(options: argparse.Namespace) -> int:
    """Draw a network of a run, or the cell that it repeats."""
    from lemonade_tf.architecture.cells import CellError, extract_cell
    from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
    from lemonade_tf.drawing import draw
    from lemonade_tf.keras_bridge import load_graph
    from lemonade_tf.store import RunStore

    store = RunStore.open(options.workdir)
    graph = load_graph(store.find_model(options.id))
    cost = f"{count_parameters(graph):,} parameters, {count_multiply_adds(graph):,} multiply-adds"
    name, title, shapes = options.id, f"Network {options.id}: {cost}", True
    try:
        cell, cells_per_block, filters = extract_cell(graph)
    except CellError:
        pass
    else:
        if not options.network:
            graph, name = cell.graph, f"{options.id}-cell"
            title = f"Cell of network {options.id} (n = {cells_per_block}, F = {filters})"
            shapes = False  # they differ between blocks
    console = make_console()
    if options.output is None:
        paths = [store.plot_path(f"{name}.{suffix}") for suffix in ("png", "svg")]
    else:
        paths = [options.output]
    for path in paths:
        draw(graph, path, title=title, shapes=shapes)
        print_line(console, str(path))
    return 0


def run_retrain(options: argparse.Namespace) -> int:
    """Train networks of a run from scratch and print their test errors."""
    given = vars(options)
    config = RetrainConfig.from_flat({k: v for k, v in given.items() if k in RetrainConfig.names()})
    from lemonade_tf.retraining import retrain
    from lemonade_tf.retraining.cluster import read_cluster

    console = make_console()
    if config.strategy == "multi_worker":
        addresses = ", ".join(read_cluster().addresses)
        print_line(console, f"Training on {addresses}, once this command runs on all of them.")
    result = retrain(
        options.workdir,
        options.ids,
        config,
        generation=options.generation,
        on_network_end=lambda record: _print_retrained(record, console),
        on_stage=lambda stage: print_line(console, stage),
    )
    if result.chief is not None:
        print_line(console, f"Trained along with {result.chief}, which has the results.")
        return 0
    if result.rows:
        _print_test_errors(result.rows, console)
    print_line(console, f"Files  {result.folder}")
    return _failures(result.failures)


def _failures(failures: Mapping[str, str]) -> int:
    """Report the networks that failed, by id, and return the exit status."""
    if not failures:
        return 0
    described = "; ".join(f"{id_}: {failure}" for id_, failure in failures.items())
    return fail(f"{len(failures)} of the networks failed: {described}")


def run_transfer(options: argparse.Namespace) -> int:
    """Move networks of a run to other images, train them there, and print their test errors."""
    given = {k: v for k, v in vars(options).items() if k in TransferConfig.names()}
    config = TransferConfig.from_flat(given)
    from lemonade_tf.retraining import transfer

    console = make_console()
    result = transfer(
        options.run,
        options.workdir,
        config,
        options.ids,
        on_network_end=lambda record: _print_retrained(record, console),
        on_stage=lambda stage: print_line(console, stage),
    )
    if result.rows:
        _print_test_errors(result.rows, console, after="transferred")
    print_line(console, f"Files  {result.folder}")
    return _failures(result.failures)


def run_augment(options: argparse.Namespace) -> int:
    """Write a network of cells with other numbers of cells and filters."""
    from lemonade_tf.architecture.cost import count_parameters
    from lemonade_tf.retraining import augment_run

    console = make_console()
    network = augment_run(
        options.workdir,
        options.id,
        cells_per_block=options.cells_per_block,
        filters=options.filters,
        shake_shake=options.shake_shake,
        output=options.output,
    )
    with without_messages():
        network.write()
    print_line(console, f"{network.path}: {count_parameters(network.graph):,} parameters")
    words = ["retrain", as_path(options.workdir), as_path(network.path)]
    command = shell_command(PROGRAM, *words, *["--shake_shake"] * options.shake_shake)
    print_line(console, f"Train it with {command}")
    return 0


def _print_retrained(record: RetrainedRecord, console: Console) -> None:
    """Print a line for a network that finished or failed."""
    from lemonade_tf.monitoring.durations import format_duration

    after = f"after {format_duration(record.seconds)}"
    error = _percent(record.test_error)
    text = f"failed: {record.failure}" if record.failure else f"test error {error or '-'}"
    for line in (f"{text}, {after}", record.note):
        if line is not None:
            print_line(console, f"network {record.id}: {line}")


def _print_test_errors(
    rows: Sequence[Mapping[str, Any]], console: Console, after: str = "from scratch"
) -> None:
    """Print the test errors in the search and after the training that is named."""
    errors = {
        "search_test_error": "in the search",
        "test_error": after,
        "test_top5_error": f"{after}, top-5",
    }
    columns = [name for name in rows[0] if name != "file"]
    header = [errors.get(name, name.replace("_", "-")) for name in columns]
    values = [
        [
            row["id"],
            *(f"{row[name]:,}" for name in columns if name not in ("id", *errors)),
            *(_percent(row[name]) for name in errors if name in row),
        ]
        for row in rows
    ]
    print_rows(console, "Test error", header, values)


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f} %"


def _report(workdir: str, console: Console) -> None:
    """Write the report of a run, and print its front and how to use a network."""
    from lemonade_tf.report.front_table import print_table
    from lemonade_tf.report.page import write_report
    from lemonade_tf.runs import read_run

    run = read_run(workdir)
    page = write_report(run)
    if not run.trained:
        print_line(console, f"No network of {run.store.path} has been trained yet.")
        return
    print_table(run, console)
    print_line(console, f"Run folder  {run.store.path}")
    print_line(console, f"Plots       {page}, {page.parent / 'plots'}")
    print_chosen(run, console)


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "search": run_search,
    "status": run_status,
    "watch": run_watch,
    "demo": run_demo,
    "front": run_front,
    "pin": run_pin,
    "report": run_report,
    "draw": run_draw,
    "retrain": run_retrain,
    "transfer": run_transfer,
    "augment": run_augment,
    "export": run_export,
    "benchmark": run_benchmark,
    "completion": run_completion,
}
