"""Download a file; it appears complete and with the right checksum, or not at all."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError

from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.store.atomic import replacing

TIMEOUT = 30.0  # seconds
_CHUNK = 1 << 20  # bytes


def download(url: str, path: Path, *, sha256: str, timeout: float = TIMEOUT) -> None:
    """Download a file and verify its checksum; announce it in one line on stdout.

    Args:
        url: The URL of the file.
        path: Where to save it; missing folders are created.
        sha256: The expected checksum, in hexadecimal.
        timeout: Seconds to wait for the connection, and for each chunk.

    Raises:
        DatasetError: If the file cannot be downloaded or written, or its checksum differs; no
            partial file remains.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            with unfinished.open("wb") as file:
                actual = _write(_chunks(url, path, timeout), file)
            if actual != sha256:
                raise DatasetError(
                    f"{url} has SHA-256 {actual}; expected {sha256}. The download was discarded."
                    f" Try again, or {_manual_download(url, path)}."
                )
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be written ({one_line(error)}). Choose another folder with --data_dir."
        ) from error


def _write(chunks: Iterator[bytes], file: BinaryIO) -> str:
    """Write chunks to a file and return their SHA-256."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest()


def _chunks(url: str, path: Path, timeout: float) -> Iterator[bytes]:
    """Yield the content of a URL in chunks."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            size = response.length or 0  # None if the server does not send the length
            print(f"Downloading {url} ({size / 1e6:.0f} MB) to {path.parent}", flush=True)
            received = 0
            while chunk := response.read(_CHUNK):
                received += len(chunk)
                yield chunk
            if received < size:
                raise HTTPException(f"the connection ended after {received:,} of {size:,} bytes")
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # the error holds the connection
        reason = error.reason if type(error) is URLError else error
        raise DatasetError(
            f"{path.name} cannot be downloaded ({one_line(reason)}); {_manual_download(url, path)}."
        ) from error


def _manual_download(url: str, path: Path) -> str:
    return f"save {url} as {path.absolute()}"
