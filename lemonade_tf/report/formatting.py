"""How objectives and their values are written in tables and along axes."""

from __future__ import annotations

from collections.abc import Sequence

from lemonade_tf.objectives.objective import Objective

_PREFIXES = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
)
_PICO = (1e-12, "p")
MAX_DIGITS = 6
_NAMES = {"error": "validation error", "multiply_adds": "multiply-adds"}


def display_name(objective: Objective) -> str:
    """Return the name of an objective for tables and axes."""
    return _NAMES.get(objective.name, objective.name.replace("_", " "))


def format_value(objective: Objective, value: float) -> str:
    """Format a value for a table: 9.76 %, 117,466, 12.3 kB, 1.20 ms."""
    if objective.unit == "fraction":
        return f"{100 * value:.2f} %"
    if objective.unit:
        return format_engineering(value, objective.unit, keep_zeros=True)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def format_ticks(objective: Objective, values: Sequence[float]) -> list[str]:
    """Format values for an axis: 9.76 %, 117k, 12.3 kB, 1.2 ms.

    They get as many digits as are needed to distinguish different values.
    """
    unit, texts = objective.unit, []
    for digits in range(3, MAX_DIGITS + 1):
        if unit == "fraction":
            texts = [f"{100 * value:.{digits}g} %" for value in values]
        else:
            texts = [format_engineering(value, unit, digits=digits) for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts


def format_engineering(
    value: float, unit: str = "", *, digits: int = 3, keep_zeros: bool = False
) -> str:
    """Format a number with a metric prefix: 1.2k, 12.3 kB, 450 µs.

    Args:
        value: The number.
        unit: The unit that the prefix belongs to.
        digits: The number of significant digits.
        keep_zeros: Whether to keep trailing zeros, so that a column lines up: 1.20 ms.
    """
    value = float(f"{value:.{digits}g}")  # round before choosing the prefix: 999.9 becomes 1k
    factor, prefix = next((p for p in _PREFIXES if abs(value) >= p[0]), _PICO)
    if value == 0:
        factor, prefix = 1.0, ""
    number = f"{value / factor:{'#' if keep_zeros and value else ''}.{digits}g}".rstrip(".")
    return f"{number} {prefix}{unit}" if unit else f"{number}{prefix}"
