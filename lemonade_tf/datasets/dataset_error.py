"""The errors of data sets: a missing, unreadable or malformed one, or a bad name."""

from __future__ import annotations

from typing import ClassVar

from lemonade_tf.errors import LemonadeError, quoted


class DatasetError(LemonadeError, ValueError):
    """A data set is missing or cannot be used."""


class UnknownDatasetError(DatasetError):
    """A name belongs to no data set."""

    exit_status: ClassVar[int] = 2


class DatasetNameError(DatasetError):
    """The names of several data sets clash or cannot be part of a file name."""


def one_line(error: object) -> str:
    """Return the message of an exception on one line, not too long, without a full stop."""
    return quoted(error).rstrip(".") or type(error).__name__
