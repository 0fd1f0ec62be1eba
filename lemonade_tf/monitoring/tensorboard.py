"""Summaries of a search for TensorBoard, in the run folder: `tensorboard --logdir RUN/tensorboard`.

Written by parts of tensorboardX, which does not load TensorFlow. The step of a summary is the
number of networks on record. A search does not depend on its summaries: when one cannot be written,
that is told, and no more are.
"""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.monitoring.search_state import SearchState
from lemonade_tf.report.front_plot import front_figure
from lemonade_tf.runs import read_run
from lemonade_tf.store import NetworkRecord

FOLDER = "tensorboard"
_logger = logging.getLogger(__name__)


class TensorBoard(Callback):
    """Writes the errors and seconds of each network, and the front of each generation."""

    def __init__(self) -> None:
        self._file: _EventFile | None = None  # None once something went wrong

    def on_search_begin(self, state: SearchState) -> None:
        """Open a new file; what an earlier one has of steps that are yet to come is void."""
        purge_step = state.num_recalled + 1 if state.num_recalled else None
        with self._harmless(state):
            self._file = _EventFile(state.workdir / FOLDER)
            self._file.begin(purge_step)

    def on_network_end(self, state: SearchState, record: NetworkRecord) -> None:
        """Write what is known of one network."""
        if self._file is not None:
            with self._harmless(state):
                _write_network(self._file, state, record)

    def on_generation_end(self, state: SearchState) -> None:
        """Write what is known of the front, and its picture."""
        if self._file is not None:
            with self._harmless(state):
                _write_front(self._file, state)

    def on_search_end(self, state: SearchState) -> None:
        """Close the file."""
        if self._file is not None:
            with self._harmless(state):
                self._file.close()

    @contextmanager
    def _harmless(self, state: SearchState) -> Iterator[None]:
        """Tell of an error, and write nothing from then on."""
        try:
            yield
        except Exception as error:
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            self._file = None
            words = " ".join(f"{type(error).__name__}: {error}".split())
            _logger.warning(
                "%s: no more summaries for TensorBoard are written (%s). The search goes on; see to"
                " that, then resume it to have them again.",
                state.workdir / FOLDER,
                words,
            )


class _EventFile:
    """A file of summaries, written to by the caller itself.

    tensorboardX's SummaryWriter leaves that to a thread. When that ends, as on a disk that is full,
    the caller waits for it for ever, and so does the end of the process.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{time.time_ns()}"
        self._file = (folder / name).open("xb")

    def begin(self, purge_step: int | None) -> None:
        """Write what a file begins with; what others have from a step on is void."""
        from tensorboardX.proto.event_pb2 import SessionLog

        self._add(0, file_version="brain.Event:2")
        if purge_step is not None:
            self._add(purge_step, session_log=SessionLog(status=SessionLog.START))

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        from tensorboardX.summary import scalar

        self._add(step, summary=scalar(tag, value))

    def add_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Add a picture, (height, width, 3) uint8."""
        from tensorboardX.summary import image

        self._add(step, summary=image(tag, pixels, dataformats="HWC"))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Close the file, even if that raises an OSError."""
        self._file.close()

    def _add(self, step: int, **content: Any) -> None:
        """Write an event: its length and itself, each with its checksum."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import masked_crc32c

        event = Event(step=step, wall_time=time.time(), **content).SerializeToString()
        for part in (struct.pack("<Q", len(event)), event):
            self._file.write(part + struct.pack("<I", masked_crc32c(part)))


def _write_network(file: _EventFile, state: SearchState, record: NetworkRecord) -> None:
    step = state.num_trained + state.num_failed
    if record.failure is None:
        for name, value in record.objectives.items():
            file.add_scalar(f"network/{name}", value, step)
        if record.test_error is not None:
            file.add_scalar("network/test_error", record.test_error, step)
        for when, distances in (record.epsilon or {}).items():
            file.add_scalar(f"epsilon/{when}_distillation", distances["kl"], step)
    for phase, seconds in record.seconds.items():
        file.add_scalar(f"seconds/{phase}", seconds, step)
    file.add_scalar("search/failed", state.num_failed, step)
    file.flush()


def _write_front(file: _EventFile, state: SearchState) -> None:
    step = state.num_trained + state.num_failed
    file.add_scalar("search/generation", state.generation, step)
    file.add_scalar("search/hypervolume", state.hypervolume, step)
    file.add_scalar("search/front_size", len(state.front), step)
    if state.best_error is not None:
        file.add_scalar("search/best_error", state.best_error, step)
    run = read_run(state.workdir)
    for objective in run.others:
        file.add_image(f"front/{objective.name}", _pixels(front_figure(run, objective)), step)
    file.flush()


def _pixels(figure: Any) -> np.ndarray:
    """Return a figure as (height, width, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
