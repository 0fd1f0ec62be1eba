"""The commands `export` and `benchmark`: their options, and what they print."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Console

from lemonade_tf.cli.failure import fail, without_messages
from lemonade_tf.cli.options import choice
from lemonade_tf.errors import LemonadeError
from lemonade_tf.export.formats import FORMATS, INT8, QUANTIZATIONS
from lemonade_tf.export.output_comparison import REPORTED_LOSS
from lemonade_tf.objectives.boards import BOARDS, Board, Fit
from lemonade_tf.terminal import make_console, print_line, print_rows

if TYPE_CHECKING:
    from lemonade_tf.export.benchmarking import Row
    from lemonade_tf.export.checking import Exported
    from lemonade_tf.export.fine_tuning import FineTuned
    from lemonade_tf.runs.run import Run

DOES_NOT_FIT = 3  # exit status
REPORTED_DIFFERENCE = 0.03  # of a predicted size, relative to the measured one


class _DoesNotFitError(LemonadeError):
    """No network that a rule may choose fits the board."""

    exit_status: ClassVar[int] = DOES_NOT_FIT


def add_export_commands(add_command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the parsers of the commands, made by `add_command(name, help)`."""
    _add_export(add_command)
    _add_benchmark(add_command)


def _add_export(add_command: Callable[..., argparse.ArgumentParser]) -> None:
    parser = add_command(
        "export",
        "export a network for other runtimes",
        description=(
            "Export a network to the format of another runtime. The file is run in that runtime and"
            " compared with the network on the test images of the run (or the validation images)"
            " before it is kept."
        ),
    )
    _add_network(parser, "or --best instead")
    parser.add_argument(
        "--format",
        required=True,
        **choice(FORMATS),
        help="keras or h5: Keras; saved_model: TensorFlow; tflite: LiteRT; onnx: ONNX Runtime;"
        " openvino: OpenVINO; c: a LiteRT file as an array in C; python: a file that builds the"
        " network from Keras layers",
    )
    parser.add_argument(
        "--quantize",
        **choice(QUANTIZATIONS),
        help="for tflite (default: none) and c (default: int8): weights in float16, or everything"
        " in int8, calibrated on training images",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="output file (default: in RUN/exports)",
    )
    parser.add_argument(
        "--fold",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether to fold batch normalizations into the layers before them (default: yes)",
    )
    parser.add_argument(
        "--fine_tune",
        type=int,
        default=0,
        metavar="EPOCHS",
        help="train the network for int8, if int8 loses accuracy; 10 are usually enough. The"
        " validation images decide whether the trained network is used (default: 0)",
    )
    parser.add_argument(
        "--board",
        metavar="BOARD",
        help=f"tell whether the int8 network fits a microcontroller: {', '.join(BOARDS)}, or a"
        " .json or .toml file with flash and ram in bytes; exit status 3 if it does not",
    )


def _add_benchmark(add_command: Callable[..., argparse.ArgumentParser]) -> None:
    parser = add_command(
        "benchmark",
        "compare all formats of a network",
        description=(
            "Export a network to all formats whose packages are installed, and print the size, the"
            " time per image on one CPU thread, and the error of each. No file is kept."
        ),
    )
    _add_network(parser, "default: the one with the lowest validation error")


def _add_network(parser: argparse.ArgumentParser, otherwise: str) -> None:
    parser.add_argument(
        "id",
        metavar="ID",
        nargs="?",
        help="a network in RUN/models, retrained/ID, or a .h5 or .keras file of a model for the"
        f" images of the run ({otherwise})",
    )
    parser.add_argument(
        "--best",
        metavar="RULE",
        help="choose a network of the front as `front --best` does, such as 'smallest:"
        " error<=0.05'; with --board, among those predicted to fit",
    )
    parser.add_argument(
        "--cache_dir",
        metavar="DIR",
        help="folder for converted pictures, as for a search (default: that of the search)",
    )


def _chosen(options: argparse.Namespace, console: Console) -> str | None:
    """Return the network that is given by its name or by a rule, if one is."""
    from lemonade_tf.objectives.boards import find_board, limits_with_board
    from lemonade_tf.runs import read_run
    from lemonade_tf.runs.choosing import (
        ChoiceError,
        NoNetworkError,
        choose,
        parse_rule,
        with_limits,
    )

    if options.best is None:
        return options.id
    if options.id is not None:
        raise ChoiceError(f"--best chooses a network, and {options.id} is one; omit one.")
    run, rule = read_run(options.workdir), parse_rule(options.best)
    board = getattr(options, "board", None)
    try:
        network = choose(run, with_limits(rule, limits_with_board({}, board)))
    except NoNetworkError as error:
        if board is None:
            raise
        choose(run, rule)  # raises if it is the rule that no network satisfies
        raise _DoesNotFitError(f"DOES NOT FIT {find_board(board).name}: {error}") from error
    print_line(console, f"{'Network':11} {network.id}, the best by {options.best!r}")
    return network.id


def run_export(options: argparse.Namespace) -> int:
    """Export a network, and print how it compares."""
    _choose_environment()
    console = make_console()
    name = _chosen(options, console)
    if name is None:
        return fail("export needs an ID, or --best RULE such as 'smallest: error<=0.05'.", status=2)
    with without_messages():
        from lemonade_tf.export import export

        exported = export(
            options.workdir,
            name,
            options.format,
            quantize=options.quantize,
            output=options.output,
            fold=options.fold,
            fine_tune=options.fine_tune,
            board=options.board,
            cache_dir=options.cache_dir,
            on_stage=lambda stage: print_line(console, stage),
        )
    _print_exported(exported, console)
    if exported.fit is None:
        return 0
    print_line(console, f"{exported.fit}")
    return 0 if exported.fit.fits else DOES_NOT_FIT


def _print_exported(exported: Exported, console: Console) -> None:
    found = exported.comparison
    for number, path in enumerate(exported.files):
        print_line(console, f"{'' if number else 'Files'!s:11} {path}")
    print_line(console, f"{'Size':11} {exported.num_bytes:,} bytes")
    print_line(
        console,
        f"{'Difference':11} {found.largest_difference:.2g}, the largest of a probability on"
        f" {found.num_images:,} {found.part} images",
    )
    print_line(
        console,
        f"{'Error':11} {_percent(found.error)} on these images; before the export"
        f" {_percent(found.reference_error)}",
    )
    if exported.fine_tuned is not None:
        _print_fine_tuned(exported.fine_tuned, found.part, console)
    if found.loss > REPORTED_LOSS:
        can_help = exported.quantize == INT8 and exported.fine_tuned is None
        print_line(console, f"{'Note':11} {_loss(exported.quantize, found.loss, can_help)}")


def _loss(quantize: str, loss: float, can_help: bool) -> str:
    """Return a sentence on a loss of accuracy, and what helps."""
    advice = "; export --fine_tune 10 trains the network for int8" if can_help else ""
    return f"{quantize} loses {100 * loss:.2f} percentage points{advice}."


def _print_fine_tuned(found: FineTuned, part: str, console: Console) -> None:
    """Print the errors in int8 before and after fine-tuning, and which network was exported."""
    before, after = _percent(found.error_before), _percent(found.error_after)
    print_line(
        console,
        f"{'Fine-tuned':11} int8 error on {found.num_validation_images:,} validation images"
        f" {before} before, {after} after: {'kept' if found.is_kept else 'no better, not used'}",
    )
    if part == "validation":
        print_line(
            console, f"{'':11} there are no test images: the same images decide and are reported"
        )
        return
    before, after = _percent(found.reported_error_before), _percent(found.reported_error_after)
    print_line(console, f"{'':11} on the {part} images {before} before, {after} after")


def run_benchmark(options: argparse.Namespace) -> int:
    """Print all formats of a network side by side."""
    _choose_environment()
    console = make_console()
    name = _chosen(options, console)
    print_line(console, "Exporting to each format; this takes about half a minute.")
    with without_messages():
        from lemonade_tf.export import benchmark

        id_, rows = benchmark(options.workdir, name, cache_dir=options.cache_dir)
    done = [row for row in rows if row.failure is None]
    if done:
        _print_benchmark(id_, done, console)
    for row in rows:
        loss = 0.0 if row.comparison is None else row.comparison.loss
        if row.failure is not None:
            print_line(console, f"{_kind(row)}: {row.failure}")
        elif loss > REPORTED_LOSS:
            print_line(console, f"{_kind(row)}: {_loss(row.quantize, loss, row.quantize == INT8)}")
    return 0 if done else fail("no format could be exported.")


def print_measured(run: Run, ids: Sequence[str], board: Board | None, console: Console) -> bool:
    """Print the true int8 sizes of networks, and whether they fit a board.

    Returns:
        Whether any network fits the board; True without a board.
    """
    _choose_environment()
    print_line(console, f"Quantizing {len(ids)} networks to int8.")
    with without_messages():
        from lemonade_tf.export.measured_sizes import measure_sizes

        sizes = list(measure_sizes(run, ids))
    rows = [
        [
            size.id,
            f"{size.predicted_bytes:,.0f}",
            *_measured(size.num_bytes, size.predicted_bytes),
            f"{size.predicted_arena:,.0f}",
            *_measured(size.arena, size.predicted_arena),
        ]
        for size in sizes
    ]
    header = ["id", "bytes predicted", "measured", "off by"]
    header += ["arena predicted", "measured", "off by"]
    print_rows(console, "In int8", header, rows)
    any_fits = board is None
    for size in sizes:
        if size.failure is not None:
            print_line(console, f"{size.id}: {size.failure}")
        if board is not None and size.num_bytes is not None:
            arena, is_measured = size.arena or size.predicted_arena, size.arena is not None
            fit = Fit(board, size.num_bytes, arena, is_measured)
            print_line(console, f"{size.id}: {fit}")
            any_fits = any_fits or fit.fits
    return any_fits


def _measured(value: int | None, predicted: float) -> list[str]:
    """Return a measured value, and by how much the prediction is off if by more than 3 %."""
    if value is None:
        return ["", ""]
    off = predicted / value - 1
    return [f"{value:,}", f"{100 * off:+.0f} %" if abs(off) > REPORTED_DIFFERENCE else ""]


def _print_benchmark(id_: str, rows: list[Row], console: Console) -> None:
    found: Any = rows[0].comparison
    header = ["format", "runtime", "bytes", "time per image", "largest difference", "error"]
    values = [
        [
            _kind(row),
            row.runtime,
            f"{row.num_bytes:,}",
            f"{1e3 * (row.seconds or 0):.3g} ms",
            f"{row.comparison.largest_difference:.1e}" if row.comparison else "",
            _percent(row.comparison.error) if row.comparison else "",
        ]
        for row in rows
    ]
    title = f"Network {id_} on {found.num_images:,} {found.part} images"
    print_rows(console, title, header, values, left=("format", "runtime"))


def _kind(row: Row) -> str:
    return row.format if row.quantize == "none" else f"{row.format} {row.quantize}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _choose_environment() -> None:
    """Set what TensorFlow and Keras read on import, as for workers."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
