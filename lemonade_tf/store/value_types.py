"""Whether a value read from JSON has the type that a record declares for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

Check = Callable[[Any], bool]


@cache
def type_check(kind: Any) -> Check:
    """Return a function that tells whether a value has a type.

    Args:
        kind: A type as records use them: a class, a Literal, Any, a union of types, a Sequence of a
            type (or tuple[TYPE, ...]) or a Mapping of text to a type. A float may be an integer in
            JSON; it is finite.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value: True
    if kind is float:
        return lambda value: _is_number(value, (int, float)) and isfinite(value)
    if kind is int:
        return lambda value: _is_number(value, int)
    if origin is Literal:
        return lambda value: isinstance(value, str) and value in inner
    if origin in (Union, UnionType):
        checks = [type_check(each) for each in inner]
        return lambda value: any(check(value) for check in checks)
    if origin in (Sequence, tuple):
        item = type_check(inner[0])
        return lambda value: isinstance(value, list | tuple) and all(map(item, value))
    if origin is Mapping:
        item = type_check(inner[1])
        return lambda value: isinstance(value, Mapping) and all(map(item, value.values()))
    return lambda value: isinstance(value, NoneType if kind is None else kind)


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
