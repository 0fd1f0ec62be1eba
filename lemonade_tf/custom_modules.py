"""Find what users define in modules of their own: custom objectives and operators, MODULE:NAME.

Such names are stored in config.json. Workers, a resumed search and a report find by them what they
stand for; so it must be in a module that can be imported, from the current folder or from anywhere
on Python's path.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from lemonade_tf.errors import LemonadeError, did_you_mean, quoted

_PACKAGE = str(Path(__file__).resolve().parent)


def find_named(
    name: str, builtin: Mapping[str, Any], kind: type, word: str, error: type[LemonadeError]
) -> Any:
    """Return what a name stands for: something built in, or an attribute of a module.

    Args:
        name: A name in `builtin`, or "MODULE:NAME".
        builtin: What is built in, by name.
        kind: The type that an attribute of a module must have.
        word: What it is in messages, such as "objective".
        error: The error to raise.

    Raises:
        LemonadeError: Of the given type, if there is no such thing.
    """
    if name in builtin:
        return builtin[name]
    if ":" in name:
        return _find_custom(name, kind, word, error)
    near = did_you_mean(name, builtin)
    raise error(
        f"unknown {word} {name!r}{near or ';'} expected one of {', '.join(builtin)}, or a custom"
        f" {word} MODULE:NAME."
    )


def _find_custom(name: str, kind: type, word: str, error: type[LemonadeError]) -> Any:
    """Return an attribute of a module.

    Args:
        name: "MODULE:NAME".
        kind: The type that it must have.
        word: What it is in messages, such as "objective".
        error: The error to raise.

    Raises:
        LemonadeError: Of the given type, if the module cannot be imported, or has no such attribute
            of this type.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(_import(module), attribute, None)
    except _ImportFailureError as failure:
        raise error(f"{word} {name!r}: {failure}") from failure.__cause__
    if isinstance(found, kind):
        return found
    others = [k for k, v in vars(sys.modules[module]).items() if isinstance(v, kind)]
    near = f" It has {', '.join(others)}." if others else ""
    if found is None:
        raise error(f"{word} {name!r}: module {module} has no attribute {attribute!r}.{near}")
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    raise error(
        f"{word} {name!r} is of type {type(found).__name__}; expected {article} {kind.__name__}"
        f" (lemonade_tf.{word}s).{near}"
    )


class _ImportFailureError(LemonadeError):
    """A module cannot be imported; the message says why, and what to do."""


def _import(module: str) -> ModuleType:
    """Import a module from the current folder or from Python's path."""
    if module == "__main__" or not all(part.isidentifier() for part in module.split(".")):
        stem = module.removesuffix(".py").replace(os.sep, ".")
        raise _ImportFailureError(
            f"workers cannot import {module!r}; expected the name of a module before the colon,"
            f" such as {'energy' if module == '__main__' else stem!r}."
        )
    here = os.getcwd()
    if all(os.path.exists(os.path.join(here, each)) for each in ("config.json", "history.jsonl")):
        # The run may come from a stranger, and its names of modules with it.
        raise _ImportFailureError(
            f"the current folder, {here}, is a run folder, from which no modules are imported. Run"
            " the command in the folder of your module."
        )
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # importing a script may exit
        words = quoted(f"{type(error).__name__}: {error}").removesuffix(".")
        if isinstance(error, ModuleNotFoundError) and _is_part(error.name, module):
            advice = f"expected a module in the current folder, {here}, or on PYTHONPATH."
        else:
            advice = f"it happened in {_place(error)}; fix the module."
        raise _ImportFailureError(f"importing {module} raised {words}; {advice}") from error


def _is_part(missing: str | None, module: str) -> bool:
    """Return whether a missing module is the requested one, or a package that should hold it."""
    return missing is not None and f"{module}.".startswith(f"{missing}.")


def _place(error: BaseException) -> str:
    """Return the file and line of an error that was raised while a module was imported.

    That of the user's own code: it tells more than the line of a library that the code calls.
    """
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is that of this file
    libraries = ("<", _PACKAGE, *sysconfig.get_paths().values())
    own = [frame for frame in frames if not frame.filename.startswith(libraries)]
    last = (own or frames)[-1]
    return f"{last.filename}, line {last.lineno}"
