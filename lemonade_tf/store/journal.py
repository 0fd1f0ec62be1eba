"""Append-only files of records, a line of JSON each, that survive the end of the process.

A line is what ends with a newline. What comes after the last one is the trace of a write that was
cut short; it is left out, and the next record takes its place.

Each line ends with a checksum, `"crc32": "1c291ca3"`, of what comes before it and of a key that
all lines of a file share: a line that was changed, or that belongs to another file, is found out.
"""

from __future__ import annotations

import json
import logging
import os
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.errors import LemonadeError

_logger = logging.getLogger(__name__)

CHECKSUM = "crc32"
_SEALED = re.compile(rb'(.+), "crc32": "([0-9a-f]{8})"\}', re.DOTALL)


class JournalError(LemonadeError, ValueError):
    """A line that is no record."""


def append(path: Path, records: Iterable[object], key: str = "") -> None:
    """Append records, all or none, and bring them to disk.

    Args:
        path: The file.
        records: Not empty, and without the name "crc32".
        key: What the checksums are to depend on too.

    Raises:
        ValueError: If a record is not JSON, for instance as it holds NaN.
        OSError: If the file cannot be written; it is then as it was before.
    """
    data = b"".join(_seal(dumps(record), key).encode() + b"\n" for record in records)
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


def read(path: Path, key: str = "", *, growing: bool = False) -> list[dict[str, Any]]:
    """Read all records; of a file that is not there, none. A torn last line is logged.

    Args:
        path: The file.
        key: As it was given to `append`.
        growing: Whether another process may be appending, so that a last line without an end is
            nothing to tell of.

    Raises:
        JournalError: If any other line is no record, or not as it was written.
        OSError: If the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    *lines, torn = data.split(b"\n")
    if torn and not growing:
        _logger.warning(
            "%s, line %d, is incomplete (%d bytes) and ignored.",
            path,
            len(lines) + 1,
            len(torn),
        )
    return [_record(path, number, line, key) for number, line in enumerate(lines, start=1)]


def checksum(data: bytes, key: str = "") -> str:
    """Return the checksum of some bytes and a key, as eight hexadecimal digits."""
    return f"{zlib.crc32(data, zlib.crc32(key.encode())):08x}"


def _seal(text: str, key: str) -> str:
    """Return the JSON text of an object with its checksum as the last member."""
    return f'{text[:-1]}, "{CHECKSUM}": "{checksum(text[:-1].encode(), key)}"}}'


def _unseal(line: bytes, key: str) -> bytes:
    """Return the JSON text that was sealed."""
    match = _SEALED.fullmatch(line)
    if match is None:
        raise ValueError("there is no checksum at its end")
    if match[2].decode() != checksum(match[1], key):
        raise ValueError("its checksum does not match; it was edited, or belongs to another run")
    return match[1] + b"}"


def dumps(record: object, **options: Any) -> str:
    """Return a record as JSON; NumPy's numbers and arrays, and paths, are understood.

    Raises:
        ValueError: If it holds what JSON has no form for.
    """
    try:
        return json.dumps(_plain(record), allow_nan=False, default=_plain, **options)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"record {str(record)[:200]} cannot be written as JSON ({error}); expected None for"
            " values that are missing or not finite."
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value
    if is_dataclass(value):
        return vars(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__}")


def _record(path: Path, number: int, line: bytes, key: str) -> dict[str, Any]:
    try:
        record = json.loads(_unseal(line, key))
    except ValueError as error:  # UnicodeDecodeError is one
        raise JournalError(f"{path}, line {number}, is damaged ({error})") from error
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
