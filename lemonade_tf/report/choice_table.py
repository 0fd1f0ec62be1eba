"""The networks of a front within limits, to choose from: as a table of text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.formatting import display_name, format_value
from lemonade_tf.runs.choosing import other_objective, values_of_front
from lemonade_tf.runs.intervals import error_intervals
from lemonade_tf.runs.run import Run
from lemonade_tf.store import NetworkRecord


def choice_rows(
    run: Run,
    networks: Sequence[NetworkRecord],
    limited: Sequence[str] = (),
    notes: Mapping[str, str] | None = None,
) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table to choose from.

    Each error is followed by its 95 % confidence interval.

    Args:
        run: The run.
        networks: The networks to list.
        limited: Names of objectives with a limit; those that the run did not minimize are listed
            before the others.
        notes: Words for the last column, by id.
    """
    objectives = [*_others(run, limited), *run.others, run.error]
    values = {o.name: values_of_front(run, networks, o.name) for o in objectives}
    tests = ["test_error", *(f"test_error_{name}" for name in run.extra_datasets)]
    with_interval = error_intervals(run.config, dict.fromkeys([*values, *tests], 0.5))
    header = ["id"]
    for name, title in [
        *((o.name, display_name(o)) for o in objectives),
        *((name, name.replace("_", " ")) for name in tests),
    ]:
        header += [title, "interval"] if name in with_interval else [title]
    rows = []
    for number, network in enumerate(networks):
        shown = [(o, values[o.name][number]) for o in objectives]
        intervals = error_intervals(
            run.config, {**{o.name: v for o, v in shown}, **network.test_errors}
        )
        cells = [
            *([format_value(o, value), o.name] for o, value in shown),
            *([_percent(network.test_errors.get(name)), name] for name in tests),
        ]
        row = chain.from_iterable(
            [text, format_interval(intervals.get(name))] if name in with_interval else [text]
            for text, name in cells
        )
        rows.append([network.id, *row, (notes or {}).get(network.id, "")])
    return [*header, "note"], rows


def _others(run: Run, limited: Sequence[str]) -> list[Objective]:
    """Return the objectives with a limit that the run did not minimize."""
    known = [objective.name for objective in run.objectives]
    return [other_objective(run, name) for name in limited if name not in known]


def _percent(error: float | None) -> str:
    return "" if error is None else f"{100 * error:.2f} %"


def format_interval(interval: tuple[float, float] | None) -> str:
    """Format the interval of an error: 1.6 to 5.7 %."""
    return "" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def choice_json(
    run: Run, networks: Sequence[NetworkRecord], limits: Mapping[str, float], **chosen: str | None
) -> dict[str, Any]:
    """Return the networks to choose from as JSON.

    Args:
        run: The run.
        networks: The networks to list.
        limits: The largest value allowed, by objective.
        **chosen: Ids of networks that stand out, such as the "knee".
    """
    names = [*(o.name for o in _others(run, list(limits))), *(o.name for o in run.objectives)]
    values = {name: values_of_front(run, networks, name) for name in names}
    rows = []
    for number, network in enumerate(networks):
        objectives = {name: values[name][number] for name in names}
        row = run.store.front_row(network)
        rows.append(
            {
                "id": network.id,
                "file": row.file,
                "objectives": objectives,
                **row.test_errors,
                "intervals": error_intervals(run.config, {**objectives, **row.test_errors}),
                "parent": network.parent,
                "operators": network.operator_names,
            }
        )
    return {
        "run": str(run.store.path),
        "front_size": len(run.front()),
        "limit": dict(limits),
        **chosen,
        "networks": rows,
    }
