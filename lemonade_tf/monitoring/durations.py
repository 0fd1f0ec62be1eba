"""Durations and times as text."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import log10


def format_duration(seconds: float) -> str:
    """Format seconds: 45 s, 3:05 min, 2:05 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def in_words(seconds: float) -> str:
    """Format a long duration in plain words: 1.5 hours, 12 days; less than an hour as before."""
    hours = seconds / 3600
    if hours < 1:
        return format_duration(seconds)
    number, unit = (hours, "hour") if hours < 48 else (hours / 24, "day")
    return f"{_two_digits(number)} {unit}{'s' * (number >= 1.5)}"


def time_in(seconds: float, now: datetime | None = None) -> str:
    """Return the time of day after some seconds: 14:30, 9:05 on Tuesday, 18:00 on 9 December."""
    now = datetime.now() if now is None else now
    try:
        then = now + timedelta(seconds=seconds)
    except OverflowError:
        return "the end of time"
    text, days = f"{then.hour}:{then.minute:02d}", (then.date() - now.date()).days
    if days == 0:
        return text
    if days < 7:
        return f"{text} on {then:%A}"
    year = f" {then.year}" if then.year != now.year else ""
    return f"{text} on {then.day} {then:%B}{year}"


def _two_digits(number: float) -> str:
    """Format a number of at least 1 with two significant digits: 1.5, 23, 1,300."""
    digits = 1 - int(log10(number))
    return f"{round(number, digits):,.0f}" if number >= 10 else f"{number:.1f}".removesuffix(".0")
