"""Read JSON from files that may come from a stranger.

Python's own reader accepts more than JSON: NaN, numbers beyond the range of floats, integers of any
length, text that cannot be encoded, and it raises RecursionError for deeply nested values. Here
each of these is a ValueError, so that readers of files need to handle only that.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn

_MAX_DEPTH = 64  # lists and objects inside each other; a run folder has at most ten
_MAX_DIGITS = 40  # of an integer: those of 128 bits, as in the state of a random generator


def read_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: If it is not JSON, is nested too deeply, or contains a number or a text that
            Python reads but other values of the package cannot hold.
    """
    if isinstance(text, bytes):
        text = text.decode()
    try:
        value = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_number, parse_int=_integer
        )
    except RecursionError:
        raise ValueError(_too_deep()) from None
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        _check_depth(value)
    if "\\ud" in text.lower():  # half of a surrogate pair, which cannot be printed or written
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _check_depth(value: Any) -> None:
    """Check the depth one level at a time, because recursion may be too deep itself."""
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(_too_deep())


def _too_deep() -> str:
    return f"its lists and objects are nested more than {_MAX_DEPTH} deep"


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"it contains {text}")


def _number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"it contains {text[:_MAX_DIGITS]}, which is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"it contains an integer of {len(text)} digits")
    return int(text)
