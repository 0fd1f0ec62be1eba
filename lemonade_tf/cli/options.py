"""Command-line options for the settings of a config class, in groups.

Name, type, choices, default and help text of an option come from the field: its annotation, its
default and its entry in the docstring. The docstring is read from the source file, because Python
discards it under -OO.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from textwrap import dedent
from typing import Any

from lemonade_tf.config import FlatConfig
from lemonade_tf.errors import did_you_mean
from lemonade_tf.training.settings import TrainingSettings


def add_settings(
    parser: argparse.ArgumentParser,
    kind: type[FlatConfig],
    groups: Mapping[str, Sequence[str]],
    presets: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Add an option per setting. Options that are not given are absent from what is parsed.

    Args:
        parser: The parser.
        kind: The config class.
        groups: Names of settings by the title of their group.
        presets: Values by the name of a preset; where they differ, the help text lists them.
    """
    hints = {**typing.get_type_hints(kind), **typing.get_type_hints(TrainingSettings)}
    classes = (each for each in reversed(kind.__mro__) if is_dataclass(each))
    texts: dict[str, str] = {}
    for each in (*classes, TrainingSettings, kind):  # the texts of a class are those of its base
        texts.update(_attribute_texts(each))
    defaults = vars(kind()) | vars(kind().training)
    for title, names in groups.items():
        group = parser.add_argument_group(title)
        for name in names:
            values = {p: given.get(name, defaults[name]) for p, given in (presets or {}).items()}
            text = texts[name].removesuffix(".") + _default_text(defaults[name], values)
            group.add_argument(
                f"--{name}",
                default=argparse.SUPPRESS,
                help=text.replace("%", "%%"),
                **_argument_type(name, hints[name]),
            )


def add_limit(parser: argparse.ArgumentParser, help: str) -> None:
    """Add the option --limit, upper limits by objective; none by default."""
    parser.add_argument(
        "--limit", type=limits, metavar="NAME=X,...", action=_Merge, default={}, help=help
    )


def _argument_type(name: str, hint: Any) -> dict[str, Any]:
    """Return the arguments of `add_argument` that follow from the type of a setting."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):  # TYPE | None
        hint = next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    if typing.get_origin(hint) is typing.Literal:
        return choice(typing.get_args(hint))
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if name == "initial_models":
        return {"nargs": "+", "metavar": "FILE"}
    parse, metavar = _FORMATS.get(name, (hint, {int: "N", float: "X"}.get(hint)))
    action = _Merge if parse in (limits, scales) else "store"
    return {"type": parse, "metavar": metavar, "action": action}


def _default_text(default: Any, of_preset: Mapping[str, Any]) -> str:
    """Return the default of a setting in parentheses, per preset where they differ."""
    if isinstance(default, Mapping):
        return ""  # the help text describes what happens without the option, as for None
    shown = {preset: _shown(value) for preset, value in of_preset.items() if value is not None}
    if len(set(shown.values())) > (default is not None):
        return f" ({', '.join(f'{preset}: {value}' for preset, value in shown.items())})"
    return "" if default is None else f" (default: {_shown(default)})"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _attribute_texts(kind: type[Any]) -> dict[str, str]:
    """Return the text of each field in the Attributes section of a class's docstring."""
    tree = ast.parse(dedent(inspect.getsource(kind)))
    definition = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    docstring = ast.get_docstring(definition) or ""
    section = docstring.partition("Attributes:\n")[2].partition("\n\n")[0]
    texts: dict[str, str] = {}
    name = ""
    for line in dedent(section).splitlines():
        if not line.startswith(" "):
            name, _, line = line.partition(": ")
            texts[name] = line
        else:
            texts[name] += f" {line.strip()}"
    return texts


# --- Values with a custom format -------------------------------------------------------


class _Merge(argparse.Action):
    """Collect the names that are given in several occurrences of an option."""

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


def choice(known: Iterable[str]) -> dict[str, Any]:
    """Return the arguments of `add_argument` for an option with a few possible values.

    Unlike `choices`, they suggest the nearest value.
    """
    known = tuple(known)

    def parse(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(
                f"invalid choice: {text!r} (choose from {', '.join(known)})"
                f"{did_you_mean(text, known)}"
            )
        return text

    return {"type": parse, "metavar": f"{{{','.join(known)}}}"}


def names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def integers(text: str) -> tuple[int, ...]:
    """Parse integers separated by commas."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected integers separated by commas, such as 16,32"
        ) from None


def limits(text: str) -> dict[str, float]:
    """Parse NAME=NUMBER pairs separated by commas."""
    return {name: _number(name, value) for name, value in _pairs(text, "NAME=NUMBER")}


def scales(text: str) -> dict[str, str]:
    """Parse NAME=log or NAME=linear pairs separated by commas."""
    return dict(_pairs(text, "NAME=log or NAME=linear"))


def _pairs(text: str, expected: str) -> list[tuple[str, str]]:
    pairs = []
    for part in text.split(","):
        name, _, value = map(str.strip, part.partition("="))
        if not name or not value or name in dict(pairs):
            raise argparse.ArgumentTypeError(
                f"{text!r}: expected {expected}, separated by commas, each name once"
            )
        pairs.append((name, value))
    return pairs


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{name}={text}: expected a number, such as 1e6") from None


_FORMATS: Mapping[str, tuple[Any, str]] = {
    "dataset": (str, "DATASET"),
    "image_size": (str, "SIZE"),
    "data_dir": (str, "DIR"),
    "cache_dir": (str, "DIR"),
    "workdir": (str, "DIR"),
    "ray_address": (str, "ADDRESS"),
    "initial_run": (str, "RUN"),
    "latency_table": (str, "RUN"),
    "replay": (str, "RUN"),
    "objectives": (names, "NAME,..."),
    "operators": (names, "NAME,..."),
    "filters": (integers, "F,..."),
    "limit": (limits, "NAME=X,..."),
    "scale": (scales, "NAME=SCALE,..."),
}
