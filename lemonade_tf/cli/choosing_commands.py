"""The command `front`: choose a network of a run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from lemonade_tf.cli.failure import fail
from lemonade_tf.errors import PROGRAM, as_path, shell_command
from lemonade_tf.terminal import make_console, print_line, print_rows

if TYPE_CHECKING:  # keeps --help and --version fast
    from lemonade_tf.objectives.boards import Board, Fit
    from lemonade_tf.runs.run import Run
    from lemonade_tf.store import NetworkRecord


def run_front(options: argparse.Namespace) -> int:
    """List the networks of a front that are within limits, or choose one by a rule.

    Returns:
        The exit status: 1 if no network fits.
    """
    from lemonade_tf.cli.export_commands import print_measured
    from lemonade_tf.objectives.boards import find_board, limits_with_board
    from lemonade_tf.report.choice_table import choice_json, choice_rows
    from lemonade_tf.runs import read_run
    from lemonade_tf.runs.choosing import choose, knee, networks_within, none_within, with_limits
    from lemonade_tf.runs.choosing import parse_rule as parse

    board = None if options.board is None else find_board(options.board)
    run, rule, fits = read_run(options.workdir), None, True
    limits = limits_with_board(options.limit, options.board)
    if options.best is not None:
        rule = with_limits(parse(options.best), limits)
        limits = dict(rule.limits)
    fitting = networks_within(run, limits)
    best = choose(run, rule) if rule and fitting else None
    middle = knee(fitting, run.objectives) if fitting else None
    if options.json:
        found = choice_json(
            run,
            fitting if rule is None else [best] if best else [],
            limits,
            knee=middle and middle.id,
            **({} if rule is None else {"best": best and best.id}),
        )
        print(json.dumps(found, indent=2))
        return 0 if fitting else 1
    if middle is None:
        words = f"DOES NOT FIT {board.name}: " if board else ""
        return fail(f"{words}{none_within(run, limits)}")
    listed = [best] if best else fitting
    if options.ids:
        for network in listed:
            print(network.id)
        return 0
    console = make_console()
    header, rows = choice_rows(run, listed, list(limits), {middle.id: "knee"})
    title = "Pareto front" if best is None else f"Best by {options.best!r}"
    print_rows(console, title, header, rows, text="note", optional=("interval",))
    if options.measure:
        fits = print_measured(run, [network.id for network in listed], board, console)
    elif board:
        for network in listed:
            print_line(console, f"{network.id}: {_fit(run, network, board)}")
    _print_summary(run, listed, len(fitting), console)
    if best is None:
        print_line(console, f"Knee        {middle.id}: beyond it, little is gained for much")
    else:
        print_use(run, best, console)
    return 0 if fits else 1


def _fit(run: Run, network: NetworkRecord, board: Board) -> Fit:
    """Return whether a network fits a board, as the search measured it, or as predicted."""
    from lemonade_tf.objectives.boards import INT8_ARENA, INT8_BYTES, Fit
    from lemonade_tf.runs.choosing import values_of_front

    num_bytes, arena = (values_of_front(run, [network], n)[0] for n in (INT8_BYTES, INT8_ARENA))
    return Fit(board, num_bytes, arena, network.id in run.measured.get(INT8_ARENA, {}))


def _print_summary(
    run: Run, listed: Sequence[NetworkRecord], num_fitting: int, console: Console
) -> None:
    from lemonade_tf.report.front_table import print_tie_break

    num = len(run.front())
    print_line(console, f"Fitting     {num_fitting} of {num} networks of the front")
    images = run.config.images.num_images.get("validation")
    print_line(
        console,
        f"Intervals   95 %, of errors on {images:,} validation images; networks whose intervals"
        " overlap may not differ",
    )
    print_tie_break(listed, console)


def print_use(run: Run, network: NetworkRecord, console: Console) -> None:
    """Print how to use a network."""
    model = str(run.store.models.path(network.id))
    print_line(console, f"Use one     keras.models.load_model({model!r})")


def print_chosen(run: Run, console: Console) -> None:
    """Print how to use the network that the default rule chooses, and how to choose another."""
    from lemonade_tf.runs.choosing import KNEE, LOWEST_ERROR, choose

    best, middle = choose(run, LOWEST_ERROR), choose(run, KNEE)
    print_use(run, best, console)
    print_line(
        console, f"            This is {best.id}, the network with the lowest validation error."
    )
    pixels = f"raw pixels, 0 to 255, as in {run.dataset}"
    print_line(console, f"            Input: {pixels}; output: class probabilities.")
    words = (PROGRAM, "front", as_path(run.store.path), "--best", "smallest: error<=0.05")
    print_line(console, f"Choose      {shell_command(*words)}")
    print_line(
        console,
        f"            {middle.id} is the knee of the front: beyond it, little is gained for much.",
    )
