"""The parser of the command: its subcommands and their options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from lemonade_tf import __version__
from lemonade_tf.cli.failure import PROGRAM
from lemonade_tf.cli.options import add_settings
from lemonade_tf.config import TRAINING, SearchConfig
from lemonade_tf.presets import PRESETS
from lemonade_tf.retraining import RetrainConfig
from lemonade_tf.retraining.recipes import RECIPES

_SEARCH_GROUPS = {
    "data": ("dataset", "data_dir", "cache_dir"),
    "budget": ("num_generations", "num_proposed", "num_accepted", "max_hours", "max_child_hours"),
    "objectives": ("objectives", "limit", "scale", "latency_table", "latency_protocol"),
    "search space": (
        "space",
        "filters",
        "cells_per_block",
        "width_multiple",
        "initial_run",
        "initial_models",
    ),
    "sampling": ("sampling", "max_redraws", "seed"),
    "order": ("mode", "replay"),
    "training": TRAINING,
    "resources": (
        "workers",
        "strategy",
        "threads",
        "device_memory",
        "executor",
        "ray_address",
        "gpus_per_child",
    ),
    "run folder": ("workdir", "keep_all", "tensorboard"),
}
_RETRAIN_GROUPS = {
    "training": (
        "recipe",
        "epochs",
        "batch_size",
        "learning_rate",
        "schedule",
        "decay_epochs",
        "decay_factor",
        "momentum",
        "nesterov",
        "weight_decay",
        "precision",
        "seed",
    ),
    "resources": (
        "workers",
        "strategy",
        "device_memory",
        "cache_dir",
        "executor",
        "ray_address",
        "gpus_per_child",
    ),
}


class _Parser(argparse.ArgumentParser):
    """A parser that reports a usage error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command; `command` of the parsed options is the subcommand."""
    parser = _Parser(
        prog=PROGRAM,
        description="Multi-objective neural architecture search by Lamarckian evolution.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _add_search(commands)
    _add_command(commands, "status", "show the progress of a search")
    pin = _add_command(commands, "pin", "keep the files of networks that leave the front")
    pin.add_argument("ids", metavar="ID", nargs="+", help="networks to keep")
    _add_command(commands, "report", "write the plots and report.html of a run and print its front")
    _add_draw(commands)
    _add_retrain(commands)
    return parser


def _add_search(commands: Any) -> None:
    parser = commands.add_parser(
        "search",
        help="search for a Pareto front of trained networks",
        usage=f"{PROGRAM} search [options]",
        description=(
            "Search for a Pareto front of trained networks. Without options, the search runs on"
            " scikit-learn's digits and takes about five minutes on two CPU cores. Other data sets"
            " use the paper's settings by default, which take GPU-days."
        ),
        allow_abbrev=False,
    )
    parser.add_argument(
        "--preset",
        choices=list(PRESETS),
        help="Named settings, which other options override. By default 'digits' for the data set"
        " digits, 'digits_cells' for digits and --space cells, and 'paper' for other data sets",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="Resume the search in --workdir, or start it if there is none. The settings of that"
        " search are used unless they are given again",
    )
    add_settings(parser, SearchConfig, _SEARCH_GROUPS, PRESETS)
    parser.set_defaults(command="search")


def _add_command(commands: Any, name: str, help: str, **options: Any) -> argparse.ArgumentParser:
    """Add a command on a run, and return its parser."""
    parser = commands.add_parser(name, help=help, allow_abbrev=False, **options)
    parser.add_argument("workdir", metavar="RUN", help="run folder")
    parser.set_defaults(command=name)
    return parser


def _add_draw(commands: Any) -> None:
    parser = _add_command(commands, "draw", "draw a network of a run")
    parser.add_argument("id", metavar="ID", help="a network in RUN/models")
    parser.add_argument(
        "--output",
        type=_picture_path,
        metavar="FILE",
        help="output file, .png, .svg or .pdf (default: RUN/plots/ID.png and .svg)",
    )
    parser.add_argument(
        "--network",
        action="store_true",
        help="draw the whole network; by default, only the cell of a network of cells is drawn",
    )


def _picture_path(text: str) -> Path:
    from lemonade_tf.drawing import DrawingError, picture_format

    try:
        picture_format(text)
    except DrawingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def _add_retrain(commands: Any) -> None:
    parser = _add_command(
        commands,
        "retrain",
        "train networks of a run's front from scratch",
        description=(
            "Train networks of a run's front from scratch, on the training and validation images"
            " together, for the final test error. By default, augmentation is that of the run, and"
            " the other settings are the paper's, which take hours per network. If the run has"
            " several data sets, the first is used. Rerun an interrupted"
            " command to continue it."
        ),
    )
    parser.add_argument(
        "ids", metavar="ID", nargs="*", default=(), help="networks to train (default: all)"
    )
    recipes = {name: vars(training) for name, training in RECIPES.items()}
    add_settings(parser, RetrainConfig, _RETRAIN_GROUPS, recipes)
