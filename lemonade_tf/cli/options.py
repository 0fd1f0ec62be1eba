"""An option for every setting of a search, described as in the docstring of `SearchConfig`."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any

from lemonade_tf.config import PRESETS, SearchConfig


def add_settings(parser: argparse.ArgumentParser) -> None:
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
