"""Check the names and types of settings, so that mistakes in Python are reported in one line."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

from lemonade_tf.errors import LemonadeError, did_you_mean

_WORDS = {
    int: "an integer",
    float: "a number",
    str: "text",
    bool: "True or False",
    types.NoneType: "None",
}


class UnknownSettingError(LemonadeError, TypeError):
    """There is no setting of a name; the message suggests the nearest one."""

    exit_status: ClassVar[int] = 2


class Settings:
    """A base of dataclasses that refuses an unknown setting with the nearest name.

    Numbers of NumPy are accepted, also in tuples and mappings, if a subclass calls
    `_use_plain_numbers`.
    """

    def __new__(cls, *values: Any, **settings: Any) -> Self:
        known = [each.name for each in fields(typing.cast(Any, cls))]
        for name in settings:
            if name not in known:
                raise UnknownSettingError(cls._unknown(name, known))
        return super().__new__(cls)

    def _use_plain_numbers(self) -> None:
        """Replace numbers of NumPy by those of Python, as JSON needs."""
        for name, value in vars(self).items():
            object.__setattr__(self, name, _plain(value))

    @classmethod
    def _unknown(cls, name: str, known: list[str]) -> str:
        near = did_you_mean(name, known) or f"; expected one of {', '.join(known)}."
        return f"{cls.__name__} has no setting {name!r}{near}"


def _plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python, also in a container, and anything else as is."""
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    is_scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_scalar else value


def check_type(name: str, value: Any, hint: Any) -> None:
    """Check that a setting has the type of its annotation. An integer may stand for a float.

    Args:
        name: The name of the setting.
        value: Its value.
        hint: Its annotation, evaluated: a class, a Literal, a union, a tuple or a Mapping of text.

    Raises:
        ValueError: If not; the message starts with the name.
    """
    if not _fits(value, hint):
        raise ValueError(f"{name} is {_shown(value)}; expected {_words(hint)}.")


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, kind) for kind in inner)
    if origin is typing.Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(each, inner[0]) for each in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not _is_bool(value)
    return isinstance(value, hint)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _words(hint: Any) -> str:
    """Return what an annotation expects, in words."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_words, inner))
    if origin is typing.Literal:
        return f"one of {', '.join(inner)}"
    if origin is tuple:
        example = "(16, 32)" if inner[0] is int else "('error', 'parameters')"
        return f"a tuple such as {example}"
    if origin is Mapping:
        example = "{'parameters': 1e6}" if inner[1] is float else "{'parameters': 'linear'}"
        return f"a mapping such as {example}"
    return _WORDS.get(hint) or hint.__name__


def _shown(value: Any) -> str:
    """Return a value in one line, and not a long one."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"of type {type(value).__name__}"
