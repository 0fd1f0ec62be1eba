"""Durations as text."""

import pytest

from lemonade_tf.monitoring.durations import format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1:00 min"), (185, "3:05 min"), (7500, "2:05 h")],
)
def test_units_of_durations(seconds, text):
    assert format_duration(seconds) == text
