"""Append-only files of records, one JSON object per line, that survive a crash of the process.

A line ends with a newline. Bytes after the last newline come from an interrupted write; they are
ignored, and the next append overwrites them. So do sectors of zeros and all that follows: if the
power fails, a file can have its new size but not all of its new content. (All earlier lines were
flushed to the disk, so this can only be in the lines of the last append.)

The last member of each line is a checksum, `"crc32": "1c291ca3"`, of the text before it and of a
key that all lines of a file share. So a line that was edited, or that belongs to another run, is
detected.
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

from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.safe_json import read_json
from lemonade_tf.store.atomic import sync

_logger = logging.getLogger(__name__)

CHECKSUM = "crc32"
_SECTOR = 512  # bytes, which a disk writes together
_SEALED = re.compile(rb'(.+), "crc32": "([0-9a-f]{8})"\}', re.DOTALL)


class JournalError(LemonadeError, ValueError):
    """A line is damaged; the message names the file and the line."""


def append(path: Path, records: Iterable[object], key: str = "") -> None:
    """Append records, all or none, and flush them to disk.

    Args:
        path: The file.
        records: Mappings or dataclasses, not empty and without a key "crc32".
        key: A text that the checksums depend on.

    Raises:
        ValueError: If a record is not JSON, for instance because of a NaN.
        OSError: If the file cannot be written; it is unchanged then.
    """
    data = b"".join(_seal(dumps(record), key).encode() + b"\n" for record in records)
    if not data:
        return
    with path.open("ab+", buffering=0) as file:
        end = _end_of_whole_lines(path.read_bytes())  # drops what an interrupted write left
        os.ftruncate(file.fileno(), end)
        try:
            _write(file.fileno(), data)
            os.fsync(file.fileno())
            if not end:  # the file may be new, and flushing it does not flush its name
                sync(path.parent)
        except BaseException:
            os.ftruncate(file.fileno(), end)
            raise


def read(path: Path, key: str = "", *, growing: bool = False) -> list[dict[str, Any]]:
    """Read all records; a missing file has none.

    An incomplete last line is ignored, with a warning.

    Args:
        path: The file.
        key: The key that was passed to `append`.
        growing: Whether another process may be appending: an incomplete last line is then no
            reason for a warning.

    Raises:
        JournalError: If a line is damaged.
        OSError: If the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    end = _end_of_whole_lines(data)
    lines, incomplete = data[:end].split(b"\n")[:-1], data[end:]
    if incomplete and not growing:
        _logger.warning(
            "%s, line %d, is incomplete (%d bytes) and ignored.",
            path,
            len(lines) + 1,
            len(incomplete),
        )
    return [_record(path, number, line, key) for number, line in enumerate(lines, start=1)]


def checksum(data: bytes, key: str = "") -> str:
    """Return the checksum of data and a key as eight hexadecimal digits."""
    return f"{zlib.crc32(data, zlib.crc32(key.encode())):08x}"


def _seal(text: str, key: str) -> str:
    """Return the JSON text of an object with its checksum as the last member."""
    return f'{text[:-1]}, "{CHECKSUM}": "{checksum(text[:-1].encode(), key)}"}}'


def _unseal(line: bytes, key: str) -> bytes:
    """Return the JSON text of a line without its checksum.

    Raises:
        ValueError: If the checksum is missing or wrong.
    """
    match = _SEALED.fullmatch(line)
    if match is None:
        raise ValueError("it has no checksum")
    if match[2].decode() != checksum(match[1], key):
        raise ValueError("its checksum does not match; it was edited, or belongs to another run")
    return match[1] + b"}"


def dumps(record: object, **options: Any) -> str:
    """Return a mapping or a dataclass as JSON; it may contain NumPy values and paths.

    Raises:
        ValueError: If it contains a value without a JSON form.
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
    raise TypeError(f"it contains a {type(value).__name__}")


def _record(path: Path, number: int, line: bytes, key: str) -> dict[str, Any]:
    try:
        record = read_json(_unseal(line, key))
    except ValueError as error:  # includes UnicodeDecodeError
        raise JournalError(f"{path}, line {number}, is damaged ({quoted(error)})") from error
    if not isinstance(record, dict):
        raise JournalError(f"{path}, line {number}, is {line[:40]!r}; expected a JSON object")
    return record


def _end_of_whole_lines(data: bytes) -> int:
    """Return the position after the last line before what an interrupted write left."""
    end = len(data)
    for zeros in re.finditer(rb"\0+", data):
        starts_line = data[zeros.start() - 1 : zeros.start()] == b"\n" or not zeros.start()
        if (starts_line or zeros.start() % _SECTOR == 0) and (
            zeros.end() == len(data) or zeros.end() % _SECTOR == 0
        ):
            end = zeros.start()
            break
    return data.rfind(b"\n", 0, end) + 1


def _write(descriptor: int, data: bytes) -> None:
    """Write all data; a single call may write only a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
