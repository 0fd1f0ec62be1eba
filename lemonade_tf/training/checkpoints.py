"""Files from which a training that was ended goes on.

A checkpoint is one line of text, which names the format and the SHA-256 of the rest, and then an
.npz archive: the arrays of a `TrainingState`, and as JSON what else there is of it. The file
appears whole or not at all, and what the disk has damaged since is found out when it is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lemonade_tf.errors import LemonadeError
from lemonade_tf.store.atomic import write_atomic
from lemonade_tf.training.fit import TrainingState

_FORMAT = b"lemonade_tf checkpoint 1"
_ARRAY = "array/"


class CheckpointError(LemonadeError, ValueError):
    """A checkpoint is damaged, or is one of another training."""


class Checkpoints:
    """The checkpoint of one training, written now and then.

    Args:
        path: The file.
        training: Says what the training depends on. A checkpoint where it says something else is
            not gone on from.
        interval: Seconds between two checkpoints.
    """

    def __init__(self, path: str | Path, *, training: str, interval: float) -> None:
        self._path, self._training, self._interval = Path(path), training, interval
        self._started = self._written = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the training took until now, without what was lost in between."""
        return time.monotonic() - self._started

    def read(self) -> TrainingState | None:
        """Return the state to go on from; None if there is none.

        Raises:
            CheckpointError: The file is not what was written, or is of another training.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        state, training, seconds = _unpacked(content, self._path)
        if training != self._training:
            raise CheckpointError(f"{self._path} is the checkpoint of another training.")
        self._started = time.monotonic() - seconds
        return state

    def keep(self, state: Callable[[], TrainingState]) -> TrainingState | None:
        """Write a checkpoint if it is time for one; for after each epoch.

        Returns:
            The state that was written; None if it is not time yet.

        Raises:
            OSError: It cannot be written; the one before stays.
        """
        if time.monotonic() - self._written < self._interval:
            return None
        present = state()
        write_atomic(self._path, _packed(present, self._training, self.seconds))
        self._written = time.monotonic()
        return present


def _packed(state: TrainingState, training: str, seconds: float) -> bytes:
    others = {
        "losses": state.losses,
        "rng": state.rng,
        "training": training,
        "seconds": seconds,
    }
    archive = io.BytesIO()
    arrays = {f"{_ARRAY}{name}": array for name, array in state.arrays.items()}
    np.savez(archive, others=np.array(json.dumps(others)), **arrays)
    content = archive.getvalue()
    return b"%s %s\n%s" % (_FORMAT, hashlib.sha256(content).hexdigest().encode(), content)


def _unpacked(content: bytes, path: Path) -> tuple[TrainingState, str, float]:
    line, _, archive = content.partition(b"\n")
    start, _, digest = line.rpartition(b" ")
    if start != _FORMAT:
        raise CheckpointError(f"{path} is no checkpoint; it begins with {content[:40]!r}.")
    if digest != hashlib.sha256(archive).hexdigest().encode():
        raise CheckpointError(f"{path} is damaged: its content is not what was written.")
    with np.load(io.BytesIO(archive), allow_pickle=False) as file:
        others = json.loads(str(file["others"]))
        arrays = {name.removeprefix(_ARRAY): file[name] for name in file.files if name != "others"}
    state = TrainingState(tuple(others["losses"]), others["rng"], arrays)
    return state, others["training"], others["seconds"]
