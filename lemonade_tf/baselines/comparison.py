"""Runs side by side: LEMONADE and its baselines, or several seeds.

All hypervolumes refer to one point: for each objective, the largest value among the reference
points of the runs. Runs that were made to be compared have the same, and keep their values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lemonade_tf.datasets.names import parse_datasets
from lemonade_tf.errors import LemonadeError
from lemonade_tf.report import drawn, dress, new_figure, stair
from lemonade_tf.runs import Run
from lemonade_tf.runs.quality import front_hypervolume


class ComparisonError(LemonadeError, ValueError):
    """Runs cannot be compared; the message says why."""


@dataclass(frozen=True)
class Comparison:
    """One run in a comparison.

    Attributes:
        name: The folder.
        num_networks: Networks trained, without those that failed.
        front_size: Networks on the front.
        best_error: The least validation error, a fraction; None without a network.
        test_error: The test error of that network; None if there is none.
        hypervolume: Of the front, against the common reference point.
    """

    name: str
    num_networks: int
    front_size: int
    best_error: float | None
    test_error: float | None
    hypervolume: float


def compare(runs: Sequence[Run]) -> list[Comparison]:
    """Compare runs, in the order given.

    Raises:
        ComparisonError: They differ in the data set, in the objectives or their scales, or in what
            these compute with: inference times foretold from different tables.
    """
    reference = common_reference(runs)
    return [_compared(run, reference) for run in runs]


def within(run: Run, limits: Mapping[str, float]) -> Run:
    """Return a run as if it had trained only those networks whose objectives are within limits.

    Args:
        run: The run.
        limits: The largest value of an objective, by name.

    Raises:
        ComparisonError: The run has no such objective.
    """
    names = sorted(objective.name for objective in run.objectives)
    unknown = sorted(limits.keys() - set(names))
    if unknown:
        raise ComparisonError(
            f"{run.store.path} has no objective {', '.join(unknown)}; it has {', '.join(names)}."
        )
    return replace(
        run,
        history=[
            record
            for record in run.trained
            if all(record.objectives[name] <= limit for name, limit in limits.items())
        ],
    )


def equally_long(runs: Sequence[Run]) -> list[Run]:
    """Return runs as if each had ended when it had trained as many networks as the shortest."""
    count = min(len(run.trained) for run in runs)
    return [replace(run, history=run.trained[:count]) for run in runs]


def common_reference(runs: Sequence[Run]) -> dict[str, float]:
    """Return the point that the hypervolumes of all runs can refer to, by objective.

    Raises:
        ComparisonError: They cannot be compared (see `compare`), or there are none.
    """
    if not runs:
        raise ComparisonError("there are no runs to compare; give one or more run folders.")
    first = runs[0]
    for run in runs[1:]:
        for what, found in (
            ("objectives", _objectives),
            ("scales", _scales),
            ("data set", _dataset),
        ):
            mine, theirs = found(first), found(run)
            if mine != theirs:
                raise ComparisonError(
                    f"{first.store.path} has the {what} {mine}, {run.store.path} {theirs};"
                    " only runs with the same can be compared."
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
    """Raise if an objective of two runs computes with something else in each."""
    mine, theirs = (run.config.prepared for run in (first, other))
    for name in first.config.objective_names:
        if mine.get(name) != theirs.get(name):
            raise ComparisonError(
                f"{first.store.path} and {other.store.path} have different values of {name}:"
                " each was prepared by itself, as inference times are that are foretold from"
                " tables of their own. Expected runs with one table; search again with"
                f" --latency_table {first.store.path}."
            )


def _dataset(run: Run) -> str:
    return ",".join(Path(name).name for name in parse_datasets(run.config.dataset))


def _compared(run: Run, reference: Mapping[str, float]) -> Comparison:
    front = run.front()
    best = min(front, key=lambda record: record.error, default=None)
    return Comparison(
        name=str(run.store.path),
        num_networks=len(run.trained),
        front_size=len(front),
        best_error=None if best is None else best.error,
        test_error=None if best is None else best.test_error,
        hypervolume=front_hypervolume(
            run.objectives, [record.objectives for record in front], reference
        ),
    )


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Return a comparison as lines of text, with a header."""
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
    """Draw the fronts of runs over each other: the error against the first cheap objective.

    With more objectives, it is the front in these two alone.
    """
    common_reference(runs)
    figure, axes = new_figure()
    size, error = runs[0].others[0], runs[0].error
    for number, run in enumerate(runs):
        for lines, style in (
            (run.trained, {"marker": ".", "linestyle": "", "alpha": 0.25}),
            (
                stair(run.front(), size, error),
                {"marker": "o", "drawstyle": "steps-post", "label": str(run.store.path)},
            ),
        ):
            x, y = drawn(size, lines), drawn(error, lines)
            axes.plot(x, y, color=f"C{number}", markersize=4, **style)
    dress(axes, "x", size)
    dress(axes, "y", error)
    alone = "" if len(runs[0].objectives) == 2 else ", in these two objectives alone"
    title = f"Pareto fronts: {_dataset(runs[0])}{alone}"
    axes.set_title(title, loc="left", parse_math=False)  # a path may have a $
    for text in axes.legend(frameon=False).get_texts():
        text.set_parse_math(False)
    return figure
