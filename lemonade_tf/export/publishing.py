"""Put exported files in place once they are checked: all of them, or none."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lemonade_tf.export.formats import ExportError, Format
from lemonade_tf.store import explained
from lemonade_tf.store.atomic import make_folder, publish, sync

_SAVED_MODEL = "saved_model.pb"


def check_output(output: Path, format: Format) -> None:
    """Check that an output path can be written to.

    Raises:
        ExportError: If its suffix is that of another format, or another kind of thing is there.
    """
    if output.suffix != format.suffix and not format.is_folder:
        raise ExportError(
            f"--output is {output}; expected the suffix {format.suffix} of the format"
            f" {format.name}."
        )
    if output.is_dir() and not (format.is_folder and (output / _SAVED_MODEL).is_file()):
        raise ExportError(f"--output: {output} is a folder; choose another path.")
    if format.is_folder and output.is_file():
        raise ExportError(f"--output: {output} is a file, and a folder is written; choose another.")


@contextmanager
def unfinished_folder(output: Path) -> Iterator[Path]:
    """Yield a new folder next to an output, on the same file system; it is removed at the end.

    So is the folder of the output, if it was created for it and nothing was written.

    Raises:
        StoreError: If it cannot be created.
    """
    is_new = not output.parent.exists()
    with explained(output.parent):
        make_folder(output.parent)
        _sweep(output.parent)
        folder = Path(tempfile.mkdtemp(prefix=_prefix(os.getpid()), dir=output.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # it is not empty
                output.parent.rmdir()


def _prefix(process: int) -> str:
    return f".unfinished-{platform.node().partition('.')[0]}-{process}-"


def _sweep(folder: Path) -> None:
    """Remove what killed exports of this machine left in a folder; others may be running."""
    for path in folder.glob(f".unfinished-{platform.node().partition('.')[0]}-*"):
        number = path.name.rsplit("-", 2)[1]
        if number.isdigit() and not _is_running(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def publish_all(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Move finished files, or folders, into a folder; existing ones are replaced.

    The first is moved last: whoever finds it, finds the others.

    Raises:
        StoreError: If one cannot be moved.
    """
    for path in reversed(paths):
        target = folder / path.name
        with explained(target):
            if path.is_dir():
                _publish_folder(path, target)
            else:
                path.chmod(0o666 & ~_umask())
                publish(path, target)
    return [folder / path.name for path in paths]


def _publish_folder(path: Path, target: Path) -> None:
    for file in (file for file in path.rglob("*") if file.is_file()):
        sync(file)
    if target.exists():  # a folder cannot replace another one
        os.replace(target, path.parent / "replaced")
    os.replace(path, target)
    sync(target.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
