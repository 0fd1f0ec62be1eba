"""Checks of single settings, which the configs share; and what other forms of a value mean."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, get_args

from lemonade_tf.errors import LemonadeError, did_you_mean

_MIN_SIDE, _MAX_SIDE = 4, 4096  # of images, in pixels


class ConfigError(LemonadeError, ValueError):
    """A setting has an invalid value; the message names the option."""

    exit_status = 2


def check_integer(name: str, value: Any, least: int, *, optional: bool = False) -> None:
    """Check a setting that is an integer, or None if it is optional.

    Raises:
        ConfigError: If it is not an integer of at least `least`.
    """
    if optional and value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"--{name} is {value!r}; expected an integer of at least {least}.")


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Check a setting that is one of the values of a Literal type.

    Raises:
        ConfigError: If it is not.
    """
    known = get_args(choices)
    if value not in known:
        near = did_you_mean(str(value), known)
        raise ConfigError(f"--{name} is {value!r}; expected one of {', '.join(known)}{near or '.'}")


def check_gpus(name: str, value: float | None) -> None:
    """Check a setting that is a number of GPUs, a fraction of one, or None.

    Raises:
        ConfigError: If it is not.
    """
    is_whole = isinstance(value, int | float) and value == value // 1 and value < inf
    if value is not None and not (value >= 0 and (value < 1 or is_whole)):
        raise ConfigError(f"--{name} is {value}; expected a whole number, or a fraction below 1.")


def check_device_memory(value: float | None) -> None:
    """Check the setting `device_memory`.

    Raises:
        ConfigError: If it is not positive.
    """
    if value is not None and not value > 0:
        raise ConfigError(f"--device_memory is {value}; expected gigabytes, more than 0.")


def as_image_size(value: Any) -> Any:
    """Return a side, "64", "48x64" or a list as (height, width); other values are left as is."""
    if isinstance(value, str):
        parts = value.lower().split("x")
        value = tuple(int(part) for part in parts) if all(map(str.isdecimal, parts)) else value
        value = value * 2 if len(parts) == 1 and isinstance(value, tuple) else value
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value


def check_image_size(value: Any) -> None:
    """Check the setting `image_size`.

    Raises:
        ConfigError: If it is no height and width in pixels.
    """
    if value is None:
        return
    sides = value if isinstance(value, tuple) else ()
    if len(sides) != 2 or not all(_MIN_SIDE <= each <= _MAX_SIDE for each in sides):
        raise ConfigError(
            f"--image_size is {value!r}; expected a side of {_MIN_SIDE} to {_MAX_SIDE} pixels, such"
            " as 64, or HEIGHTxWIDTH, such as 48x64."
        )


def as_paths(paths: Any) -> Any:
    """Return one or several paths as a tuple of text; what is no path is left for the checks."""
    if isinstance(paths, str | os.PathLike):
        paths = (paths,)
    if not isinstance(paths, Iterable):
        return paths
    return tuple(os.fspath(path) if isinstance(path, os.PathLike) else path for path in paths)


def check_widths(filters: Sequence[int], initial_width: float) -> None:
    """Check the widths of initial networks: of cells, and of whole networks.

    Raises:
        ConfigError: If there are no filters, if some are no multiples of 4 of at least 16, or if
            the width multiplier is not a positive number.
    """
    if not filters or any(f % 4 or f < 16 for f in filters):
        raise ConfigError(
            f"--filters is {filters}; expected multiples of 4 of at least 16, the filters in the"
            " last of three blocks."
        )
    if not 0 < initial_width < inf:
        raise ConfigError(
            f"--initial_width is {initial_width}; expected a factor greater than 0, such as 0.5 for"
            " half of the filters."
        )


def check_durations(
    minutes: float | None, max_hours: float | None, max_child_hours: float | None
) -> None:
    """Check the times that a search and a child may take.

    Raises:
        ConfigError: If one is not positive, or a search has both a budget and a limit.
    """
    for name, value in (
        ("minutes", minutes),
        ("max_hours", max_hours),
        ("max_child_hours", max_child_hours),
    ):
        if value is not None and not value > 0:
            raise ConfigError(f"--{name} is {value}; expected more than 0, or inf.")
    if minutes is not None and max_hours is not None:
        raise ConfigError(
            f"--minutes is {minutes:g} and --max_hours {max_hours:g}; give one of them: --minutes"
            " also sizes the search, --max_hours only ends it."
        )
