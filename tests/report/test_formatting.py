"""How objectives and their values are written."""

import pytest

from lemonade_tf.objectives import ERROR, MULTIPLY_ADDS, TOP5_ERROR, Objective
from lemonade_tf.report.formatting import (
    display_name,
    format_engineering,
    format_ticks,
    format_value,
)


def objective(unit):
    return Objective("any", "linear", compute=len, unit=unit)


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("fraction", 0.09764, "9.76 %"),
        ("", 117466, "117,466"),
        ("", 12345678901234, "12,345,678,901,234"),
        ("", 0.00123456, "0.001235"),
        ("", 12345.678, "12,346"),
        ("", -2, "-2"),
        ("B", 2934872, "2.93 MB"),
        ("B", 120_000, "120 kB"),
        ("B", 999, "999 B"),
        ("B", 0, "0 B"),
        ("s", 0.0012, "1.20 ms"),
        ("s", 0.00045, "450 µs"),
        ("s", 2.5, "2.50 s"),
    ],
)
def test_values_in_a_table(unit, value, text):
    assert format_value(objective(unit), value) == text


@pytest.mark.parametrize(
    ("unit", "values", "texts"),
    [
        ("fraction", [0.09764, 0.1, 1], ["9.76 %", "10 %", "100 %"]),
        ("", [1e3, 117466, 0], ["1k", "117k", "0"]),
        ("", [20001, 20002], ["20.001k", "20.002k"]),
        ("B", [2934872, 512], ["2.93 MB", "512 B"]),
        ("s", [1e-3, 4.5e-4], ["1 ms", "450 µs"]),
        ("s", [5, 5], ["5 s", "5 s"]),
    ],
)
def test_values_along_an_axis_are_short_and_distinct(unit, values, texts):
    assert format_ticks(objective(unit), values) == texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (999.9, "1k"),
        (999.4, "999"),
        (1e-9, "1n"),
        (4.6e-12, "4.6p"),
        (3.25e12, "3.25T"),
        (-1500, "-1.5k"),
    ],
)
def test_metric_prefixes(value, text):
    assert format_engineering(value) == text


def test_names_display_name():
    named = [ERROR, MULTIPLY_ADDS, TOP5_ERROR]
    assert [*map(display_name, named)] == ["validation error", "multiply-adds", "top5 error"]
