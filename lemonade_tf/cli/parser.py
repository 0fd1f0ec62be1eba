"""The parser of the command: its subcommands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from lemonade_tf import __version__
from lemonade_tf.cli.completion import add_completion
from lemonade_tf.cli.export_commands import add_export_commands
from lemonade_tf.cli.options import add_limit, add_settings, choice
from lemonade_tf.cli.page_commands import add_page_commands
from lemonade_tf.cli.setting_groups import RETRAIN_GROUPS, SEARCH_GROUPS, TRANSFER_GROUPS
from lemonade_tf.config import SearchConfig
from lemonade_tf.errors import PROGRAM, did_you_mean, printable
from lemonade_tf.presets import PRESETS
from lemonade_tf.retraining import RetrainConfig, TransferConfig
from lemonade_tf.retraining.recipes import RECIPES


class _Parser(argparse.ArgumentParser):
    """A parser that reports a usage error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)} (see {self.prog} --help)\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments of the command; `command` of the result is the subcommand.

    In the names of options, dashes and underscores are the same.

    Raises:
        SystemExit: After a usage error, `--help` or `--version`, with the exit status.
    """
    parser, commands = _make_parsers()
    if not arguments or arguments[0] in ("-h", "--help", "--version"):
        return parser.parse_args(arguments)  # prints, and exits
    name = arguments[0]
    if name.startswith("-"):
        parser.error(f"{name} stands before the command; expected one of {', '.join(commands)}")
    if name not in commands:
        expected = f"expected one of {', '.join(commands)}"
        parser.error(
            f"there is no command {name!r}{did_you_mean(name, commands) or ';'} {expected}"
        )
    own = commands[name]
    # Intermixed: an optional ID may stand after options, which argparse otherwise refuses.
    options, unknown = own.parse_known_intermixed_args(_with_known_spelling(arguments[1:], own))
    if unknown:
        own.error(_unknown_arguments(unknown, own))
    return options


def _with_known_spelling(arguments: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Replace dashes by underscores, or the reverse, in the names of options."""
    known = _options_by_spelling(parser)
    given = list(arguments)
    end = given.index("--") if "--" in given else len(given)
    for number, argument in enumerate(given[:end]):
        name, equals, value = argument.partition("=")
        if name.startswith("--") and _spelling(name) in known:
            given[number] = f"{known[_spelling(name)]}{equals}{value}"
    return given


def _options_by_spelling(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return the long options of a parser by their spelling with underscores."""
    names = (name for action in parser._actions for name in action.option_strings)
    return {_spelling(name): name for name in names if name.startswith("--")}


def _spelling(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def _unknown_arguments(unknown: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """Return the error message for arguments that the parser does not know."""
    message = f"unrecognized arguments: {' '.join(unknown)}"
    option = next((each.partition("=")[0] for each in unknown if each.startswith("-")), None)
    if option is None:
        return message
    if option in ("--run", "--workdir") and _takes_run(parser):
        return f"{message}; expected the run folder without an option: {parser.prog} RUN"
    near = did_you_mean(_spelling(option), (known := _options_by_spelling(parser)))
    for spelling, name in known.items():
        near = near.replace(repr(spelling), name)
    return message + near


def _takes_run(parser: argparse.ArgumentParser) -> bool:
    return any(each.metavar == "RUN" and not each.option_strings for each in parser._actions)


def _make_parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """Return the parser of the command, and those of the subcommands by name."""
    parser = _Parser(
        prog=PROGRAM,
        description="Multi-objective neural architecture search by Lamarckian evolution.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _add_search(commands)
    _add_command(commands, "status", "show the progress of a search")
    add_page_commands(commands, partial(_add_command, commands))
    _add_front(commands)
    pin = _add_command(commands, "pin", "keep the files of networks that leave the front")
    pin.add_argument("ids", metavar="ID", nargs="+", help="networks to keep")
    _add_command(commands, "report", "write the plots and report.html of a run and print its front")
    _add_draw(commands)
    _add_retrain(commands)
    _add_transfer(commands)
    _add_augment(commands)
    add_export_commands(partial(_add_command, commands))
    add_completion(commands)
    return parser, commands.choices


def _add_search(commands: Any) -> None:
    parser = commands.add_parser(
        "search",
        help="search for a Pareto front of trained networks",
        usage=f"{PROGRAM} search [options]",
        description=(
            "Search for a Pareto front of trained networks. Without options, the search runs on"
            " scikit-learn's digits and takes three to eight minutes on two CPU cores. Other data"
            " sets use the paper's settings by default, which take GPU-days."
        ),
        allow_abbrev=False,
    )
    parser.add_argument(
        "--preset",
        **choice(PRESETS),
        help="Named settings, which other options override. By default 'digits' for the data set"
        " digits, 'digits_cells' for digits and --space cells, and 'paper' for other data sets",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="Resume the search in --workdir, or start it if there is none. The settings of that"
        " search are used unless they are given again",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="Start without a question: a search without a budget (--minutes, --max_hours,"
        " --num_generations or --preset) that takes an hour or more asks first, and without a"
        " terminal it does not start",
    )
    add_settings(parser, SearchConfig, SEARCH_GROUPS, PRESETS)
    parser.set_defaults(command="search")


def _add_command(commands: Any, name: str, help: str, **options: Any) -> argparse.ArgumentParser:
    """Add a command on a run, and return its parser."""
    parser = commands.add_parser(name, help=help, allow_abbrev=False, **options)
    parser.add_argument("workdir", metavar="RUN", help="run folder")
    parser.set_defaults(command=name)
    return parser


def _add_front(commands: Any) -> None:
    parser = _add_command(
        commands,
        "front",
        "list the networks of a front and choose one",
        description=(
            "List the networks of a front, with the confidence intervals of their errors, and mark"
            " the knee. With --limit or --best, list those that fit or choose one. The exit status"
            " is 1 if none fits."
        ),
    )
    add_limit(parser, "list only networks within limits, such as parameters=100e3,error=0.05")
    parser.add_argument(
        "--board",
        metavar="BOARD",
        help="list only networks that fit a microcontroller in int8, predicted from the graph: a"
        " name as for `search`, or a .json or .toml file",
    )
    parser.add_argument(
        "--best",
        metavar="RULE",
        help="choose one: 'smallest', 'lowest NAME' or 'knee', optionally followed by conditions,"
        " such as 'smallest: error<=0.05' or 'lowest error: parameters<=1e5, multiply_adds<=5e6'",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--ids", action="store_true", help="print only ids, one per line")
    form.add_argument(
        "--measure",
        action="store_true",
        help="quantize the networks and print the true int8 sizes, by which --board then judges",
    )


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
        "train networks of a run from scratch",
        description=(
            "Train networks of a run from scratch, on the training and validation images"
            " together, for the final test error. By default, augmentation is that of the run, and"
            " the other settings are the paper's, which take hours per network. If the run has"
            " several data sets, the first is used. Rerun an interrupted"
            " command to continue it."
        ),
    )
    parser.add_argument(
        "ids",
        metavar="ID",
        nargs="*",
        default=(),
        help="networks to train: any that the search trained, or files that `augment` wrote"
        " (default: those of the front)",
    )
    parser.add_argument(
        "--generation",
        type=int,
        metavar="G",
        help="train the front as it was after generation G; 1 gives the paper's baseline of"
        " networks that were evolved for one generation only",
    )
    recipes = {name: vars(training) for name, training in RECIPES.items()}
    add_settings(parser, RetrainConfig, RETRAIN_GROUPS, recipes)


def _add_transfer(commands: Any) -> None:
    parser = commands.add_parser(
        "transfer",
        help="move networks of a run to other images",
        description=(
            "Adapt networks of a run to the images and classes of another data set, and train them"
            " there. Weights are inherited where their shapes match. Networks are trained on the"
            " training and validation images together; without test images, the validation images"
            " measure the error instead. Rerun an interrupted command to continue it."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument(
        "ids", metavar="ID", nargs="*", default=(), help="networks of the front (default: all)"
    )
    parser.add_argument(
        "--workdir", metavar="OUT", required=True, help="folder for the trained networks"
    )
    recipes = {name: vars(training) for name, training in RECIPES.items()}
    add_settings(parser, TransferConfig, TRANSFER_GROUPS, recipes)
    parser.set_defaults(command="transfer")


def _add_augment(commands: Any) -> None:
    parser = _add_command(
        commands,
        "augment",
        "scale a network of cells",
        description=(
            "Write the network of a run's cell with other numbers of cells per block and of filters"
            " (model augmentation, A.4.3). Weights are inherited where their shapes match. Train it"
            " from scratch with `retrain RUN FILE`. With --shake_shake, the cell is employed in the"
            " Shake-Shake architecture (Table 1) with new weights."
        ),
    )
    parser.add_argument("id", metavar="ID", help="a network that the search trained")
    parser.add_argument(
        "--cells_per_block",
        type=int,
        metavar="N",
        help="cells per block (default: unchanged), or residual blocks per stage of a Shake-Shake"
        " network (default: 4)",
    )
    parser.add_argument(
        "--filters", type=int, metavar="F", help="filters in the last block (default: unchanged)"
    )
    parser.add_argument(
        "--shake_shake",
        action="store_true",
        help="write the Shake-Shake network whose branches are the cell; train it with"
        " `retrain RUN FILE --shake_shake`",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="output file, .h5 (default: RUN/augmented/ID-nN-FF.h5, or ID-shake-nN-FF.h5)",
    )
