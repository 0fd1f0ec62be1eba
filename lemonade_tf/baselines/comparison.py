"""Compare runs: LEMONADE and its baselines, or several seeds.

All hypervolumes refer to one point: for each objective, the largest value among the reference
points of the runs. Runs that were made to be compared share a reference point, and keep their
hypervolumes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lemonade_tf.datasets.names import parse_datasets
from lemonade_tf.errors import LemonadeError
from lemonade_tf.report.axes import format_axis
from lemonade_tf.report.figure import new_figure
from lemonade_tf.report.scales import plot_values
from lemonade_tf.report.staircase import staircase
from lemonade_tf.runs.quality import front_hypervolume
from lemonade_tf.runs.run import Run


class ComparisonError(LemonadeError, ValueError):
    """Runs cannot be compared; the message says why."""


@dataclass(frozen=True)
class Comparison:
    """Describe one run in a comparison.

    Attributes:
        name: The folder.
        num_networks: The number of networks that were trained without failure.
        front_size: The number of networks on the front.
        best_error: The lowest validation error, a fraction; None without networks.
        test_error: The test error of the network with the lowest validation error (ties broken as
            in the run); None without networks or test images.
        hypervolume: The hypervolume of the front, up to the common reference point.
    """

    name: str
    num_networks: int
    front_size: int
    best_error: float | None
    test_error: float | None
    hypervolume: float


def compare(runs: Sequence[Run]) -> list[Comparison]:
    """Compare runs; the result is in the same order.

    Raises:
        ComparisonError: If they differ in the data set, the objectives, their scales or their
            preparation, such as inference times that are predicted from different tables.
    """
    reference_point = common_reference_point(runs)
    return [_comparison(run, reference_point) for run in runs]


def limited(run: Run, limits: Mapping[str, float]) -> Run:
    """Return a run without the networks that are over a limit.

    Args:
        run: The run.
        limits: The largest allowed value of objectives, by name.

    Raises:
        ComparisonError: If the run does not have one of the objectives.
    """
    names = sorted(objective.name for objective in run.objectives)
    unknown = sorted(limits.keys() - set(names))
    if unknown:
        raise ComparisonError(
            f"{run.store.path} has no objective {', '.join(unknown)}; known are {', '.join(names)}."
        )
    return replace(
        run,
        history=[
            record
            for record in run.trained
            if all(record.objectives[name] <= limit for name, limit in limits.items())
        ],
    )


def truncated(runs: Sequence[Run]) -> list[Run]:
    """Return runs with only as many of their first networks as the shortest run trained."""
    count = min(len(run.trained) for run in runs)
    return [replace(run, history=run.trained[:count]) for run in runs]


def common_reference_point(runs: Sequence[Run]) -> dict[str, float]:
    """Return a reference point for the hypervolumes of all runs, by objective.

    Raises:
        ComparisonError: If the runs cannot be compared (see `compare`), or there are none.
    """
    if not runs:
        raise ComparisonError("there are no runs to compare; pass one or more run folders.")
    first = runs[0]
    for run in runs[1:]:
        for name, get in (
            ("objectives", _objectives),
            ("scales", _scales),
            ("data set", _dataset),
        ):
            expected, found = get(first), get(run)
            if found != expected:
                raise ComparisonError(
                    f"{run.store.path} has the {name} {found}; expected {expected}, as in"
                    f" {first.store.path}. Compare runs that agree."
                )
        _check_prepared(first, run)
    return {
        o.name: max(run.config.reference_point[o.name] for run in runs) for o in first.objectives
    }


def _objectives(run: Run) -> str:
    return ", ".join(sorted(run.config.objective_names))


def _scales(run: Run) -> str:
    return ", ".join(sorted(f"{objective.name}={objective.scale}" for objective in run.objectives))


def _check_prepared(first: Run, other: Run) -> None:
    """Check that preparing the objectives of two runs had the same results.

    Raises:
        ComparisonError: If one was not.
    """
    for name in first.config.objective_names:
        if first.config.prepared.get(name) != other.config.prepared.get(name):
            raise ComparisonError(
                f"{first.store.path} and {other.store.path} predict {name} from different tables,"
                " which were measured separately; expected one table. Rerun one of the searches"
                f" with --latency_table {first.store.path}."
            )


def _dataset(run: Run) -> str:
    return ",".join(Path(name).name for name in parse_datasets(run.config.dataset))


def _comparison(run: Run, reference_point: Mapping[str, float]) -> Comparison:
    front = run.front()
    best = min(front, key=lambda record: record.ranked_error, default=None)
    return Comparison(
        name=str(run.store.path),
        num_networks=len(run.trained),
        front_size=len(front),
        best_error=None if best is None else best.error,
        test_error=None if best is None else best.test_error,
        hypervolume=front_hypervolume(
            run.objectives, [record.objectives for record in front], reference_point
        ),
    )


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Format a comparison as a table of text with a header."""
    rows = [("run", "networks", "front", "best error", "test error", "hypervolume")]
    rows += [
        (
            entry.name,
            f"{entry.num_networks:,}",
            str(entry.front_size),
            _percent(entry.best_error),
            _percent(entry.test_error),
            f"{entry.hypervolume:.4f}",
        )
        for entry in comparisons
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def comparison_figure(runs: Sequence[Run]) -> Any:
    """Plot the fronts of runs over each other: the error against the first cheap objective.

    With more objectives, the plotted fronts are those in these two alone.

    Raises:
        ComparisonError: If the runs cannot be compared (see `compare`).
    """
    common_reference_point(runs)
    figure, axes = new_figure()
    size, error = runs[0].others[0], runs[0].error
    for number, run in enumerate(runs):
        for networks, style in (
            (run.trained, {"marker": ".", "linestyle": "", "alpha": 0.25}),
            (
                staircase(run.front(), size, error),
                {"marker": "o", "drawstyle": "steps-post", "label": str(run.store.path)},
            ),
        ):
            x, y = plot_values(size, networks), plot_values(error, networks)
            axes.plot(x, y, color=f"C{number}", markersize=4, **style)
    format_axis(axes, "x", size)
    format_axis(axes, "y", error)
    alone = "" if len(runs[0].objectives) == 2 else ", in these two objectives alone"
    title = f"Pareto fronts: {_dataset(runs[0])}{alone}"
    axes.set_title(title, loc="left", parse_math=False)  # a path may contain a $
    for text in axes.legend(frameon=False).get_texts():
        text.set_parse_math(False)
    return figure
