"""Checks of single settings, which the configs share; and what other forms of a value mean."""

from __future__ import annotations

import os
from collections.abc import Iterable
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
