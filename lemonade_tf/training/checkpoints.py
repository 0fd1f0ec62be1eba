"""Checkpoint files, from which an interrupted training resumes.

A checkpoint is one line of text with the format and the SHA-256 of the rest, followed by an .npz
archive: the arrays of a `TrainingState`, and the rest of it as JSON. The file is replaced
atomically, and a file that was damaged on disk is detected when it is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lemonade_tf.datasets.npz_members import npz_members
from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.safe_json import read_json
from lemonade_tf.store.atomic import write_atomic
from lemonade_tf.training.fit import TrainingState

# What Python, NumPy and zipfile raise for content that has another form than expected.
_MALFORMED = (ValueError, TypeError, LookupError, OSError, RuntimeError, zipfile.BadZipFile)
_FORMAT = b"lemonade_tf checkpoint 1"
_ARRAY = "array/"


class CheckpointError(LemonadeError, ValueError):
    """A checkpoint is damaged or belongs to a different training."""


class Checkpoints:
    """The checkpoint of one training, rewritten at intervals.

    Args:
        path: The file.
        training: Fingerprint of everything that the training depends on. A checkpoint with a
            different fingerprint is refused.
        interval: Seconds between two checkpoints.
    """

    def __init__(self, path: str | Path, *, training: str, interval: float) -> None:
        self._path, self._training, self._interval = Path(path), training, interval
        self._started = self._written = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of training so far, without those lost in interruptions."""
        return time.monotonic() - self._started

    def read(self) -> TrainingState | None:
        """Return the state to resume from; None if there is no file.

        Raises:
            CheckpointError: If the file is damaged or belongs to a different training.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        state, training, seconds = unpack_state(content, str(self._path))
        if training != self._training:
            raise CheckpointError(f"{self._path} is the checkpoint of a different training.")
        self._started = time.monotonic() - seconds  # as if there had been no interruption
        return state

    def write_if_due(self, state: Callable[[], TrainingState]) -> TrainingState | None:
        """Write a checkpoint if the interval has passed; to be called after each epoch.

        Returns:
            The state that was written; None if none was.

        Raises:
            OSError: If the file cannot be written; the previous checkpoint remains.
        """
        if time.monotonic() - self._written < self._interval:
            return None
        present = state()  # copies all weights, so only when they are written
        content = pack_state(present, training=self._training, seconds=self.seconds)
        write_atomic(self._path, content)
        self._written = time.monotonic()
        return present


def pack_state(state: TrainingState, *, training: str = "", seconds: float = 0.0) -> bytes:
    """Return the content of a checkpoint file.

    Args:
        state: The state.
        training: See `Checkpoints`.
        seconds: Seconds of training so far.
    """
    others = {
        "losses": state.losses,
        "rng": state.rng,
        "training": training,
        "seconds": seconds,
    }
    parts = {f"{_ARRAY}{name}": array for name, array in state.arrays.items()}
    parts["others"] = np.array(json.dumps(others))
    archive = io.BytesIO()
    np.savez(archive, **parts)  # pyright: ignore[reportArgumentType] (no part is allow_pickle)
    content = archive.getvalue()
    return b"%s %s\n%s" % (_FORMAT, hashlib.sha256(content).hexdigest().encode(), content)


def unpack_state(content: bytes, name: str) -> tuple[TrainingState, str, float]:
    """Return state, training and seconds, as in `pack_state`.

    Args:
        content: What `pack_state` returned.
        name: What the content is called in error messages.

    Raises:
        CheckpointError: If the content is damaged.
    """
    line, _, archive = content.partition(b"\n")
    start, _, digest = line.rpartition(b" ")
    if start != _FORMAT:
        raise CheckpointError(f"{name} is not a checkpoint; its first bytes are {content[:40]!r}.")
    if digest != hashlib.sha256(archive).hexdigest().encode():
        raise CheckpointError(f"{name} is damaged: its content does not match its SHA-256.")
    try:
        members = npz_members(io.BytesIO(archive))
        others = read_json(str(members.pop("others").read()))
        arrays = {key.removeprefix(_ARRAY): member.read() for key, member in members.items()}
        state = TrainingState(tuple(map(float, others["losses"])), dict(others["rng"]), arrays)
        return state, str(others["training"]), float(others["seconds"])
    except _MALFORMED as error:
        raise CheckpointError(f"{name} is damaged: {quoted(error)}.") from error
