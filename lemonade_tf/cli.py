"""The command `lemonade-tf`.

Exit status: 0 on success, 2 for a wrong use of the command, 1 for everything else that goes
wrong; then one line on the standard error says what happened and what to do.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from lemonade_tf import __version__
from lemonade_tf.config import PRESETS, ConfigError, SearchConfig, make_config
from lemonade_tf.retrain_config import RetrainConfig

_PROGRAM = "lemonade-tf"


class _Parser(argparse.ArgumentParser):
    """A parser that reports a wrong use in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except ConfigError as error:
        return _fail(str(error), status=2)
    except KeyboardInterrupt:
        return _fail(
            "stopped by Ctrl-C; what was finished is in the run folder. A search goes on with"
            " --resume."
        )
    except BrokenPipeError:
        return 1
    except _user_errors() as error:
        return _fail(str(error), status=2 if type(error).__name__ == "UnknownDatasetError" else 1)


def _fail(message: str, status: int = 1) -> int:
    print(f"{_PROGRAM}: {' '.join(message.split())}", file=sys.stderr)
    return status


def _user_errors() -> tuple[type[Exception], ...]:
    """Return the errors whose message is meant for the user; imported when one is caught."""
    from lemonade_tf.drawing import DrawingError
    from lemonade_tf.executors import WorkerSetupError
    from lemonade_tf.keras_bridge import FileError
    from lemonade_tf.objectives import ObjectiveError
    from lemonade_tf.retrained import RetrainError
    from lemonade_tf.search import SearchError
    from lemonade_tf.store import StoreError
    from lemonade_tf.training.datasets import DatasetError

    return (
        DatasetError,
        DrawingError,
        FileError,
        ObjectiveError,
        StoreError,
        SearchError,
        RetrainError,
        WorkerSetupError,
    )


# --- Options ---------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        description="Multi-objective neural architecture search by Lamarckian evolution.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    search = commands.add_parser(
        "search",
        help="search for a Pareto front of trained networks",
        description=(
            "Search for a Pareto front of trained networks. Without options: scikit-learn's"
            " digits, some three minutes on two CPU cores. For other data the paper's settings"
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
    _add_settings(search)
    search.set_defaults(run=_search)

    _add_command(commands, "status", _status, "say how far a search has come, now or later")
    what = "keep the files of networks, whatever becomes of the front"
    pin = _add_command(commands, "pin", _pin, what)
    pin.add_argument("ids", metavar="ID", nargs="+", help="which networks")
    what = "write a run's plots and report.html, and print its front"
    _add_command(commands, "report", _report, what)
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
    parser = _add_command(commands, "draw", _draw, what)
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
        _retrain,
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


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add an option for every argument of SearchConfig, described as in its docstring."""
    hints = typing.get_type_hints(SearchConfig)
    texts = _argument_texts()
    for field in dataclasses.fields(SearchConfig):
        kinds = [kind for kind in typing.get_args(hints[field.name]) if kind is not type(None)]
        kind: Any = kinds[0] if kinds else hints[field.name]
        kind = _KINDS.get(field.name, kind)
        text = (texts[field.name] + _defaults(field.name)).replace("%", "%%")
        if kind is bool:
            parser.add_argument(
                f"--{field.name}",
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=text,
            )
            continue
        parser.add_argument(
            f"--{field.name}",
            type=kind,
            default=argparse.SUPPRESS,
            metavar=_METAVARS.get(kind, "TEXT"),
            action=_Merge if kind in (limits, scales) else "store",
            help=text,
        )


class _Merge(argparse.Action):
    """Collect what is given in several options of a name."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        earlier = getattr(namespace, self.dest, {})
        for name in values:
            if name in earlier:
                parser.error(f"argument {option_string}: {name} is given twice")
        setattr(namespace, self.dest, {**earlier, **values})


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def limits(text: str) -> dict[str, float]:
    """Return numbers by name, of NAME=NUMBER separated by commas."""
    return {name: _number(name, value) for name, value in _pairs(text, "NAME=NUMBER")}


def scales(text: str) -> dict[str, str]:
    """Return scales by name, of NAME=log or NAME=linear separated by commas."""
    return dict(_pairs(text, "NAME=log or NAME=linear"))


def _pairs(text: str, expected: str) -> list[tuple[str, str]]:
    pairs = [tuple(map(str.strip, part.partition("=")[::2])) for part in text.split(",")]
    for name, value in pairs:
        if not name or not value or [n for n, _ in pairs].count(name) > 1:
            raise argparse.ArgumentTypeError(
                f"{text!r}: expected {expected}, several separated by commas, each name once"
            )
    return pairs


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{name}={text}: expected a number, as 1e6") from None


def whole_numbers(text: str) -> tuple[int, ...]:
    """Return numbers separated by commas; argparse tells of a wrong one by this name."""
    return tuple(int(number) for number in text.split(","))


_METAVARS: Mapping[Any, str] = {int: "N", float: "X", limits: "NAME=X", scales: "NAME=SCALE"}
_KINDS: Mapping[str, Callable[[str], Any]] = {
    "objectives": _names,
    "filters": whole_numbers,
    "limit": limits,
    "scale": scales,
}


def _defaults(name: str) -> str:
    """Return the default of a setting, for each preset where they differ, in parentheses."""
    plain = getattr(SearchConfig, name, None)  # None for what is a mapping
    of_preset = {preset: _shown(given.get(name, plain)) for preset, given in PRESETS.items()}
    if plain is None:
        return ""  # the text says what then happens
    if len(set(of_preset.values())) == 1:
        return f" (default: {_shown(plain)})"
    return f" ({', '.join(f'{preset}: {shown}' for preset, shown in of_preset.items())})"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _argument_texts() -> dict[str, str]:
    """Return what the docstring of SearchConfig says of each argument."""
    lines = SearchConfig.__doc__.split("Args:")[1].split("Raises:")[0].splitlines()
    texts: dict[str, str] = {}
    name = ""
    for text in map(str.strip, lines):
        head, colon, rest = text.partition(": ")
        if colon and head in SearchConfig.__dataclass_fields__:
            name = head
            texts[name] = rest
        elif text:
            texts[name] += f" {text}"
    return texts


# --- Commands --------------------------------------------------------------------------------


def _search(options: argparse.Namespace) -> int:
    given = {k: v for k, v in vars(options).items() if k != "run"}
    if not given["resume"]:  # before what takes a while to import
        make_config(**{k: v for k, v in given.items() if k != "resume"})
    from lemonade_tf.progress import ProgressDisplay
    from lemonade_tf.search import search

    console = Console()
    result = search(callbacks=[ProgressDisplay(console)], **given)
    if not (result.complete or result.stopped):
        console.print("Ended at --max_hours; what was found by then is whole.", highlight=False)
    _show(str(result.workdir), console)
    if result.stopped:
        return _fail(
            f"stopped by Ctrl-C; go on with lemonade-tf search --workdir {result.workdir} --resume"
        )
    return 0


def _status(options: argparse.Namespace) -> int:
    from lemonade_tf.status import read_status, status_lines

    for line in status_lines(read_status(options.workdir), options.workdir):
        print(line)
    return 0


def _pin(options: argparse.Namespace) -> int:
    from lemonade_tf.store import RunStore

    RunStore.open(options.workdir).pin(options.ids)
    return 0


def _report(options: argparse.Namespace) -> int:
    _show(options.workdir, Console())
    return 0


def _draw(options: argparse.Namespace) -> int:
    from lemonade_tf.architecture.cells import CellError, cell_of
    from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
    from lemonade_tf.drawing import draw
    from lemonade_tf.keras_bridge import load_graph
    from lemonade_tf.store import RunStore

    store = RunStore.open(options.workdir)
    graph = load_graph(store.find_model(options.id))
    cost = f"{count_parameters(graph):,} parameters, {count_multiply_adds(graph):,} multiply-adds"
    name, title, of_cell = options.id, f"Network {options.id}: {cost}", False
    with suppress(CellError):
        cell, cells_per_block, filters = cell_of(graph)
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


def _retrain(options: argparse.Namespace) -> int:
    names = ("epochs", "learning_rate", "seed", "workers")
    config = RetrainConfig(**{name: getattr(options, name) for name in names})
    from lemonade_tf.retrain import retrain

    console = Console()
    result = retrain(
        options.workdir,
        options.ids,
        config,
        on_network_end=lambda record: _show_retrained(record, console),
    )
    if result.rows:
        _show_all_retrained(result.rows, console)
    console.print(f"Files  {result.folder}", highlight=False, soft_wrap=True, markup=False)
    if result.failures:
        failures = "; ".join(f"{id_}: {failure}" for id_, failure in result.failures.items())
        return _fail(f"{len(result.failures)} of the networks failed: {failures}")
    return 0


def _show_retrained(record: Mapping[str, Any], console: Console) -> None:
    """Print a line on a network that was just finished, or failed."""
    from lemonade_tf.progress import duration

    after = f"after {duration(record['seconds'])}"
    error = _percent(record["test_error"])
    text = f"failed: {record['failure']}" if record["failure"] else f"test error {error or '-'}"
    for line in (f"{text}, {after}", record["remark"]):
        if line is not None:
            console.print(
                f"network {record['id']}: {line}", highlight=False, soft_wrap=True, markup=False
            )


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
    from lemonade_tf.report import print_table, read_run, write_report

    run = read_run(workdir)
    page = write_report(run)
    front = run.front()
    if not front:
        console.print(f"No network of {run.store.path} has been trained.", highlight=False)
        return
    print_table(run, console)
    example = run.store.model_path(front[-1]["id"])
    console.print(f"Run folder  {run.store.path}", highlight=False, soft_wrap=True)
    console.print(f"Pictures    {page}, {page.parent / 'plots'}", highlight=False, soft_wrap=True)
    console.print(
        f"Use one     keras.models.load_model({str(example)!r})",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    console.print(
        "            It takes raw pixels, 0 to 255, and returns class probabilities.",
        highlight=False,
    )
