"""Objectives by name: those that come with the package, and those that a module has.

The name is what is written into config.json, and from it the processes that train, a resumed search
and a report find the objective again. So an objective of one's own has to lie in a module: the
current folder, or anything that Python can import.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from lemonade_tf.datasets.names import ERROR_PREFIX
from lemonade_tf.objectives.builtin import ERROR, OBJECTIVES
from lemonade_tf.objectives.dataset_errors import check_errors, error_on, is_error_on
from lemonade_tf.objectives.objective import SCALES, Objective, ObjectiveError

_BY_NAME = {objective.name: objective for objective in OBJECTIVES}


def objectives_named(names: Iterable[str]) -> tuple[Objective, ...]:
    """Return the objectives of these names.

    Args:
        names: "error", "parameters", ..., or "MODULE:NAME", an `Objective` in a module.

    Raises:
        ObjectiveError: A name is unknown or occurs twice, no objective is cheap, or `error` is
            missing.
    """
    names = tuple(names)
    found = tuple(map(find_objective, names))
    shown = ",".join(names)
    called = [objective.name for objective in found]
    if len(set(called)) < len(called):
        raise ObjectiveError(f"objectives {shown}: one is named twice.")
    if ERROR not in found or not any(objective.cheap for objective in found):
        raise ObjectiveError(
            f"objectives {shown}: expected error and at least one cheap objective, such"
            " as parameters."
        )
    return found


def objectives_of(settings: Mapping[str, Any]) -> tuple[Objective, ...]:
    """Return the objectives of a run, as it computes and shows them.

    Args:
        settings: Those of the run, as in its config.json.

    Raises:
        ObjectiveError: As `objectives_named`; or one is the error on a data set that the run does
            not have, or a scale is given for what is no objective of it.
    """
    names = settings["objectives"]
    check_errors(names, settings.get("dataset", ""))
    found = rescaled(objectives_named(names), settings.get("scale", {}))
    prepared = settings.get("prepared", {})
    return tuple(
        o.with_prepared(prepared[name]) if name in prepared else o
        for name, o in zip(names, found, strict=True)
    )


def rescaled(objectives: Iterable[Objective], scales: Mapping[str, str]) -> tuple[Objective, ...]:
    """Return objectives, some of them on another scale.

    Args:
        objectives: The objectives.
        scales: "log" or "linear" by name.

    Raises:
        ObjectiveError: A name is none of theirs, or a scale is neither, or does not fit.
    """
    objectives = tuple(objectives)
    names = [objective.name for objective in objectives]
    for name, scale in scales.items():
        if name not in names:
            raise ObjectiveError(
                f"{name}={scale}: {name!r} is none of the objectives of the search;"
                f" expected one of {', '.join(names)}."
            )
        if scale not in SCALES:
            raise ObjectiveError(f"{name}={scale}: expected {name}=log or {name}=linear.")
    return tuple(replace(o, scale=scales.get(o.name, o.scale)) for o in objectives)


def find_objective(name: str) -> Objective:
    """Return the objective of a name, or of a module as "MODULE:NAME".

    That of "error_NAME" is the error on a further data set, whether a search has it or not.

    Raises:
        ObjectiveError: There is none.
    """
    if not isinstance(name, str):
        raise ObjectiveError(
            f"objectives are given by name, as 'parameters', or as 'MODULE:NAME', by which the"
            f" processes that train find them, too; not as {name!r}."
        )
    if name in _BY_NAME:
        return _BY_NAME[name]
    if is_error_on(name):
        return error_on(name.removeprefix(ERROR_PREFIX))
    module, colon, attribute = name.partition(":")
    if not colon:
        near = difflib.get_close_matches(name, _BY_NAME, n=1)
        raise ObjectiveError(
            f"unknown objective {name!r}{f' (did you mean {near[0]!r}?)' if near else ''}; known"
            f" are {', '.join(_BY_NAME)}, and your own as MODULE:NAME."
        )
    found = getattr(_imported(module, name), attribute, None)
    if not isinstance(found, Objective):
        raise ObjectiveError(_no_objective(module, attribute, name, found))
    if found.name in _BY_NAME:
        raise ObjectiveError(
            f"objective {name!r} is called {found.name!r}, as one that comes with lemonade_tf;"
            " choose another name."
        )
    return found


def _imported(module: str, name: str) -> ModuleType:
    """Import a module, from the current folder or from wherever Python looks for it."""
    if module == "__main__" or not all(part.isidentifier() for part in module.split(".")):
        stem = module.removesuffix(".py").replace(os.sep, ".")
        raise ObjectiveError(
            f"objective {name!r}: expected the name of a module that can be imported, such as"
            f" {'energy' if module == '__main__' else stem!r}, before the colon; {module!r} is"
            " none that the processes that train could import."
        )
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a script that was written to be run ends so
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise ObjectiveError(
            f"objective {name!r}: importing {module} raised {words}; expected a module in the"
            f" current folder, {here}, or on PYTHONPATH."
        ) from error


def _no_objective(module: str, attribute: str, name: str, found: Any) -> str:
    """Say what a module has instead of an objective."""
    others = [k for k, v in vars(sys.modules[module]).items() if isinstance(v, Objective)]
    near = f" It has {', '.join(others)}." if others else ""
    if found is None:
        return f"objective {name!r}: the module {module} has no {attribute!r}.{near}"
    return (
        f"objective {name!r} is of type {type(found).__name__}; expected an Objective"
        f" (lemonade_tf.objectives).{near}"
    )
