"""Fetch a file, and have it under its name whole and with the right checksum, or not at all."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError

from lemonade_tf.datasets.npz import DatasetError, one_line
from lemonade_tf.store.atomic import replacing

TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 20  # bytes


def download(url: str, path: Path, *, sha256: str, timeout: float = TIMEOUT) -> None:
    """Fetch a file and check it, then give it its name. One line on stdout says so beforehand.

    Args:
        url: Where the file is.
        path: What it is to be called here; missing folders are made.
        sha256: Its checksum, in hexadecimal.
        timeout: Seconds to wait for a connection, and then for more to come.

    Raises:
        DatasetError: If the file cannot be fetched or written, or its checksum is another. Then
            nothing is left of it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            with unfinished.open("wb") as file:
                found = _copy(_chunks(url, path, timeout), file)
            if found != sha256:
                raise DatasetError(
                    f"{url} gave a file with the SHA-256 {found}; expected {sha256}. It was "
                    f"deleted. Try again, or {_by_hand(url, path)}."
                )
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be written ({one_line(error)}); name another folder with --data_dir."
        ) from error


def _copy(chunks: Iterator[bytes], file: BinaryIO) -> str:
    """Write what comes, and return its checksum."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest()


def _chunks(url: str, path: Path, timeout: float) -> Iterator[bytes]:
    """Yield a file from the network in pieces."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            size = response.length or 0  # 0 if the server does not say
            print(f"Fetching {url} ({size / 1e6:.0f} MB) into {path.parent}", flush=True)
            received = 0
            while chunk := response.read(_CHUNK):
                received += len(chunk)
                yield chunk
            if received < size:
                raise HTTPException(f"the connection ended after {received:,} of {size:,} bytes")
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        reason = error.reason if type(error) is URLError else error
        raise DatasetError(
            f"{path.name} cannot be fetched ({one_line(reason)}); {_by_hand(url, path)}."
        ) from error


def _by_hand(url: str, path: Path) -> str:
    return f"put {path.name} from {url} into {path.parent.absolute()}"
