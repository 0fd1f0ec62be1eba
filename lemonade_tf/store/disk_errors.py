"""Errors of the operating system on the files of a run, with advice on how to fix them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lemonade_tf.errors import LemonadeError

_ADVICE = {
    errno.ENOSPC: "free some space there, or use another folder",
    errno.EDQUOT: "the quota is used up: delete files, or use another folder",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "use a folder on a writable disk",
    errno.EACCES: "use a folder that you may write to",
    errno.EPERM: "use a folder that you may write to",
    errno.ENOTDIR: "expected a folder",
    errno.EEXIST: "expected a folder",
}
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class StoreError(LemonadeError):
    """The folder of a run is damaged, in use, or cannot be written; the message names the file."""


def disk_error(path: Path, number: int | None) -> StoreError | None:
    """Return the error of a disk that cannot be written, or None for other error numbers.

    Args:
        path: The file that could not be written.
        number: The errno.
    """
    if number not in _DISK_ERRORS:
        return None
    return _with_advice(path, number, os.strerror(number))


def _with_advice(path: Path, number: int | None, message: str) -> StoreError:
    advice = _ADVICE.get(number or 0, "fix this and rerun the command")
    return StoreError(f"{path}: {message}; {advice}.")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise an OSError as a StoreError that names the file and adds advice.

    Raises:
        StoreError: If the file cannot be used.
    """
    try:
        yield
    except OSError as error:
        raise _with_advice(path, error.errno, error.strerror or str(error)) from error
