"""The options of the command: those of each subcommand, and those of a search from its settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from lemonade_tf import __version__
from lemonade_tf.cli.commands import (
    run_draw,
    run_pin,
    run_report,
    run_retrain,
    run_search,
    run_status,
)
from lemonade_tf.cli.failure import PROGRAM
from lemonade_tf.cli.options import add_settings
from lemonade_tf.config import PRESETS
from lemonade_tf.retraining import RetrainConfig


class _Parser(argparse.ArgumentParser):
    """A parser that reports a wrong use in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command; `run` of what it parses is the function to call."""
    parser = _Parser(
        prog=PROGRAM,
        description="Multi-objective neural architecture search by Lamarckian evolution.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    search = commands.add_parser(
        "search",
        help="search for a Pareto front of trained networks",
        description=(
            "Search for a Pareto front of trained networks. Without options: scikit-learn's"
            " digits, some five minutes on two CPU cores. For other data the paper's settings"
            " hold unless you change them; those are GPU-days."
        ),
        allow_abbrev=False,
    )
    search.add_argument(
        "--preset",
        choices=list(PRESETS),
        help="named settings, which the other options override; by default 'digits' for the data"
        " set digits, or 'digits_cells' with --space cells, and 'paper' for others. Where presets"
        " differ, the help of an option names the value of each",
    )
    search.add_argument(
        "--resume",
        action="store_true",
        help="go on with the search in --workdir, whatever ended it; a folder without one begins"
        " it. Settings that are not given are those of that search",
    )
    add_settings(search)
    search.set_defaults(run=run_search)

    _add_command(commands, "status", run_status, "say how far a search has come, now or later")
    what = "keep the files of networks, whatever becomes of the front"
    pin = _add_command(commands, "pin", run_pin, what)
    pin.add_argument("ids", metavar="ID", nargs="+", help="which networks")
    what = "write a run's plots and report.html, and print its front"
    _add_command(commands, "report", run_report, what)
    _add_draw(commands)
    _add_retrain(commands)
    return parser


def _add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], what: str, **options: Any
) -> argparse.ArgumentParser:
    """Add a command that is about a run, and return its parser."""
    parser = commands.add_parser(name, help=what, allow_abbrev=False, **options)
    parser.add_argument("workdir", metavar="RUN", help="the folder of a run")
    parser.set_defaults(run=run)
    return parser


def _add_draw(commands: Any) -> None:
    """Add the command that draws a network."""
    what = "draw a network of a run: its layers as boxes, what they read as arrows"
    parser = _add_command(commands, "draw", run_draw, what)
    parser.add_argument("id", metavar="ID", help="which network, of those in RUN/models")
    parser.add_argument(
        "--output",
        type=_picture_path,
        metavar="FILE",
        help="a file that ends in .png, .svg or .pdf (default: RUN/plots/ID.png and .svg)",
    )
    parser.add_argument(
        "--network",
        action="store_true",
        help="of a network of cells, draw the whole rather than its cell",
    )


def _picture_path(text: str) -> Path:
    from lemonade_tf.drawing import DrawingError, picture_format

    try:
        picture_format(text)
    except DrawingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def _add_retrain(commands: Any) -> None:
    """Add the command that trains a front from scratch."""
    parser = _add_command(
        commands,
        "retrain",
        run_retrain,
        "train the networks of a run's front from scratch, for their final test error",
        description=(
            "Train the networks of a run's front from scratch: new weights, training and"
            " validation images together, the augmentation of the run, and the paper's settings"
            " unless you change them; those are hours a network. Of a run with several data sets,"
            " they are trained on the first. When it was ended, the same command goes on."
        ),
    )
    parser.add_argument(
        "ids", metavar="ID", nargs="*", default=(), help="which networks; by default all"
    )
    for name, kind, what in (
        ("epochs", int, "passes over the images"),
        ("learning_rate", float, "of the first step; a cosine takes it to 0"),
        ("seed", int, "of everything random"),
        ("workers", int, "processes; by default one a GPU, or one a CPU core"),
    ):
        default = getattr(RetrainConfig, name)
        parser.add_argument(
            f"--{name}",
            type=kind,
            default=default,
            metavar={int: "N", float: "X"}[kind],
            help=what if default is None else f"{what} (default: {default})",
        )
