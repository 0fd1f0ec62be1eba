"""Find objectives by name: built-in ones, and custom ones in a module (`custom_modules`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

from lemonade_tf.custom_modules import find_named
from lemonade_tf.datasets.names import ERROR_PREFIX
from lemonade_tf.errors import quoted
from lemonade_tf.objectives.builtin import OBJECTIVES
from lemonade_tf.objectives.dataset_errors import (
    check_dataset_errors,
    dataset_error,
    is_dataset_error,
)
from lemonade_tf.objectives.limits import Limit
from lemonade_tf.objectives.network_errors import ERROR
from lemonade_tf.objectives.objective import LARGEST, SCALES, Objective, ObjectiveError

_BY_NAME = {objective.name: objective for objective in OBJECTIVES}


def run_objectives(
    settings: Mapping[str, Any], prepared: Mapping[str, Any] | None = None
) -> tuple[Objective, ...]:
    """Return the objectives of a run, scaled and prepared.

    Args:
        settings: The settings of the run: `objectives`, and optionally `dataset` and `scale`.
        prepared: The results of `Objective.prepare`, by the names in the settings.

    Raises:
        ObjectiveError: If an objective or a scale is invalid, or one is the error on a data set
            that the run does not have.
    """
    names, prepared = settings["objectives"], prepared or {}
    check_dataset_errors(names, settings.get("dataset", ""))
    objectives = with_scales(find_objectives(names), settings.get("scale", {}))
    return tuple(
        objective.with_prepared(prepared[name]) if name in prepared else objective
        for name, objective in zip(names, objectives, strict=True)
    )


def run_limits(
    settings: Mapping[str, Any], prepared: Mapping[str, Any] | None = None
) -> tuple[Limit, ...]:
    """Return the limits of a run.

    Args:
        settings: The settings of the run; `limit` maps objectives, by name or as "MODULE:NAME", to
            maxima.
        prepared: As for `run_objectives`.

    Raises:
        ObjectiveError: If an objective is unknown or not cheap, or a maximum is not positive.
    """
    prepared = prepared or {}
    objectives = run_objectives(settings, prepared)
    known = dict(zip(settings["objectives"], objectives, strict=True))
    known |= {objective.name: objective for objective in objectives}
    limits = []
    for name, maximum in settings.get("limit", {}).items():
        objective = known[name] if name in known else find_objective(name)
        if not objective.cheap:
            raise ObjectiveError(
                f"{name}={maximum}: {name!r} is measured on the trained network; expected a cheap"
                " objective, whose value is known before training."
            )
        if not _is_number(maximum) or not 0 < maximum <= LARGEST:
            raise ObjectiveError(
                f"{name}={quoted(maximum)}: expected a number greater than 0, at most {LARGEST:g}."
            )
        if name not in known and name in prepared:
            objective = objective.with_prepared(prepared[name])
        limits.append(Limit(objective, float(maximum)))
    return tuple(limits)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def find_objectives(names: Iterable[str]) -> tuple[Objective, ...]:
    """Return the objectives of a search by name.

    Args:
        names: Names as for `find_objective`.

    Raises:
        ObjectiveError: If a name is unknown or given twice, no objective is cheap, or `error` is
            missing.
    """
    names = tuple(names)
    objectives = tuple(map(find_objective, names))
    shown = ",".join(names)
    found = [objective.name for objective in objectives]
    if len(set(found)) < len(found):
        raise ObjectiveError(f"objectives {shown}: duplicate name; expected each only once.")
    if ERROR not in objectives or not any(objective.cheap for objective in objectives):
        raise ObjectiveError(
            f"objectives {shown}: expected error and at least one cheap objective, such as"
            " parameters."
        )
    return objectives


def with_scales(
    objectives: Iterable[Objective], scales: Mapping[str, str]
) -> tuple[Objective, ...]:
    """Return objectives with other scales.

    Args:
        objectives: The objectives.
        scales: "log" or "linear", by name.

    Raises:
        ObjectiveError: If a name is none of the objectives, or a scale is unknown or impossible.
    """
    objectives = tuple(objectives)
    names = [objective.name for objective in objectives]
    for name, scale in scales.items():
        if name not in names:
            raise ObjectiveError(
                f"{name}={scale}: {name!r} is not an objective of the search; expected one of"
                f" {', '.join(names)}."
            )
        if scale not in SCALES:
            raise ObjectiveError(f"{name}={scale}: expected {name}=log or {name}=linear.")
    return tuple(replace(o, scale=scales.get(o.name, o.scale)) for o in objectives)


def find_objective(name: str) -> Objective:
    """Return an objective by name.

    Args:
        name: The name of a built-in objective; "error_NAME", the error on an extra data set,
            whether the search has it or not; or "MODULE:NAME", a custom `Objective` in a module.

    Raises:
        ObjectiveError: If there is no such objective.
    """
    if not isinstance(name, str):
        raise ObjectiveError(
            f"objective {name!r}: expected a name, such as 'parameters' or 'MODULE:NAME', by which"
            " workers can import it."
        )
    if name not in _BY_NAME and is_dataset_error(name):
        return dataset_error(name.removeprefix(ERROR_PREFIX))
    found = find_named(name, _BY_NAME, Objective, "objective", ObjectiveError)
    if ":" in name and found.name in _BY_NAME:
        raise ObjectiveError(
            f"objective {name!r} has the name {found.name!r} of a built-in objective; expected"
            " another name."
        )
    return found
