"""Append-only files of records, a line of JSON each, that survive the end of the process.

A line is what ends with a newline. What comes after the last one is the trace of a write that was
cut short; it is left out, and the next record takes its place.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_logger = logging.getLogger(__name__)

Record = Mapping[str, Any]


class JournalError(ValueError):
    """A line that is no record."""


def append(path: Path, records: Iterable[Record]) -> None:
    """Append records, all or none, and bring them to disk.

    Raises:
        ValueError: If a record is not JSON, for instance as it holds NaN.
        OSError: If the file cannot be written; it is then as it was before.
    """
    data = b"".join(f"{dumps(record)}\n".encode() for record in records)
    if not data:
        return
    with path.open("ab+", buffering=0) as file:
        end = _end_of_last_line(file.fileno())
        os.ftruncate(file.fileno(), end)
        try:
            _write(file.fileno(), data)
            os.fsync(file.fileno())
        except BaseException:
            os.ftruncate(file.fileno(), end)
            raise


def read(path: Path) -> list[dict[str, Any]]:
    """Read all records; of a file that is not there, none. A torn last line is logged.

    Raises:
        JournalError: If any other line is no record.
        OSError: If the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    *lines, torn = data.split(b"\n")
    if torn:
        _logger.warning(
            "%s: line %d was cut short when it was written (%d bytes) and is left out.",
            path,
            len(lines) + 1,
            len(torn),
        )
    return [_record(path, number, line) for number, line in enumerate(lines, start=1)]


def dumps(record: Record, **options: Any) -> str:
    """Return a record as JSON; NumPy's numbers and arrays, and paths, are understood.

    Raises:
        ValueError: If it holds what JSON has no form for.
    """
    try:
        return json.dumps(record, allow_nan=False, default=_plain, **options)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The record {str(record)[:200]} cannot be written as JSON ({error}); a value that is "
            "missing or not finite is to be None."
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__}")


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:  # UnicodeDecodeError is one
        raise JournalError(f"{path}, line {number}, is not JSON ({error})") from error
    if not isinstance(record, dict):
        raise JournalError(f"{path}, line {number}, is {line[:40]!r}, not a JSON object")
    return record


def _end_of_last_line(descriptor: int) -> int:
    """Return the position after the last newline."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - 65536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _write(descriptor: int, data: bytes) -> None:
    """Write all of the data."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
