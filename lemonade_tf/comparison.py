"""Runs side by side: LEMONADE and its baselines, or several seeds.

All hypervolumes refer to one point: for each objective, the largest value among the reference
points of the runs. Runs that were made to be compared have the same, and keep their values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lemonade_tf.data_names import datasets_of
from lemonade_tf.quality import front_hypervolume
from lemonade_tf.report import Run, drawn, dress, new_figure, stair


class ComparisonError(ValueError):
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
        ComparisonError: They differ in the data set or in the objectives.
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
    unknown = sorted(limits.keys() - {objective.name for objective in run.objectives})
    if unknown:
        raise ComparisonError(
            f"{run.store.path} has no objective {', '.join(unknown)}; it has {_objectives(run)}."
        )
    return replace(
        run,
        history=[
            line
            for line in run.trained
            if all(line["objectives"][name] <= limit for name, limit in limits.items())
        ],
    )


def equally_long(runs: Sequence[Run]) -> list[Run]:
    """Return runs as if each had ended when it had trained as many networks as the shortest."""
    count = min(len(run.trained) for run in runs)
    return [replace(run, history=run.trained[:count]) for run in runs]


def common_reference(runs: Sequence[Run]) -> dict[str, float]:
    """Return the point that the hypervolumes of all runs can refer to, by objective.

    Raises:
        ComparisonError: They differ in the data set or in the objectives, or there are none.
    """
    if not runs:
        raise ComparisonError("there are no runs to compare; give one or more run folders.")
    first = runs[0]
    for run in runs[1:]:
        for what, mine, theirs in (
            ("objectives", _objectives(first), _objectives(run)),
            ("data set", _dataset(first), _dataset(run)),
        ):
            if mine != theirs:
                raise ComparisonError(
                    f"{first.store.path} has the {what} {mine}, {run.store.path} {theirs};"
                    " only runs with the same can be compared."
                )
    return {o.name: max(run.config["reference"][o.name] for run in runs) for o in first.objectives}


def _objectives(run: Run) -> str:
    scales = run.config.get("scale", {})
    names = sorted(run.config["objectives"])
    return ", ".join(f"{name} ({scales[name]})" if name in scales else name for name in names)


def _dataset(run: Run) -> str:
    return ",".join(Path(name).name for name in datasets_of(run.config["dataset"]))


def _compared(run: Run, reference: Mapping[str, float]) -> Comparison:
    front = run.front()
    best = min(front, key=lambda line: line["objectives"]["error"], default=None)
    return Comparison(
        name=str(run.store.path),
        num_networks=len(run.trained),
        front_size=len(front),
        best_error=None if best is None else best["objectives"]["error"],
        test_error=None if best is None else best["test_error"],
        hypervolume=front_hypervolume(
            run.objectives, [line["objectives"] for line in front], reference
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
    axes.set_title(f"Pareto fronts: {_dataset(runs[0])}{alone}", loc="left")
    axes.legend(frameon=False)
    return figure
