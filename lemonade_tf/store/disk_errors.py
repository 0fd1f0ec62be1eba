"""What goes wrong with the files of a run, in words that say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lemonade_tf.errors import LemonadeError

_MENDS = {
    errno.ENOSPC: "free some space there, or choose another --workdir",
    errno.EDQUOT: "your quota is used up: delete something, or choose another --workdir",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "choose a --workdir that can be written to",
    errno.EACCES: "choose a --workdir that you may write to",
    errno.EPERM: "choose a --workdir that you may write to",
    errno.ENOTDIR: "choose a --workdir that is a folder",
    errno.EEXIST: "choose a --workdir that is a folder",
}
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class StoreError(LemonadeError):
    """The folder of a run cannot be used as asked; the message names the file."""


def disk_error(path: Path, number: int | None) -> StoreError | None:
    """Return the error that a disk that cannot be written to is; None if `number` is another's.

    Args:
        path: What was to be written.
        number: The errno.
    """
    return _described(path, number, os.strerror(number)) if number in _OF_THE_DISK else None


def _described(path: Path, number: int | None, words: str) -> StoreError:
    mend = _MENDS.get(number, "see to it, or choose another --workdir")
    return StoreError(f"{path}: {words}; {mend}.")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say what to do when a file cannot be used."""
    try:
        yield
    except OSError as error:
        raise _described(path, error.errno, error.strerror or str(error)) from error
