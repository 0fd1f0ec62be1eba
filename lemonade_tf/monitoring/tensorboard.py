"""Write summaries for TensorBoard into the run folder: `tensorboard --logdir RUN/tensorboard`.

Parts of tensorboardX write them, which does not load TensorFlow. The step of a summary is the
number of recorded networks. A search does not depend on its summaries: if one cannot be written, a
warning is logged and no more summaries are written.
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

from lemonade_tf.monitoring.callback import Callback, SearchState
from lemonade_tf.report.front_plot import front_figure
from lemonade_tf.runs.run import read_run
from lemonade_tf.store import NetworkRecord

FOLDER = "tensorboard"
_logger = logging.getLogger(__name__)


class TensorBoard(Callback):
    """Write the objectives and seconds of each network, and the front of each generation."""

    def __init__(self) -> None:
        self._file: _EventFile | None = None  # None after an error

    def on_search_begin(self, state: SearchState) -> None:
        """Open a new file. It invalidates later steps of files by killed searches."""
        purge_step = state.num_recalled + 1 if state.num_recalled else None
        with self._without_errors(state):
            self._file = _EventFile(state.workdir / FOLDER)
            self._file.begin(purge_step)

    def on_network_end(self, state: SearchState, record: NetworkRecord) -> None:
        """Write the scalars of a network."""
        if self._file is not None:
            with self._without_errors(state):
                _write_network(self._file, state, record)

    def on_generation_end(self, state: SearchState) -> None:
        """Write the scalars and the plots of the front."""
        if self._file is not None:
            with self._without_errors(state):
                _write_front(self._file, state)

    def on_search_end(self, state: SearchState) -> None:
        """Close the file."""
        if self._file is not None:
            with self._without_errors(state):
                self._file.close()

    @contextmanager
    def _without_errors(self, state: SearchState) -> Iterator[None]:
        """Log an error as a warning, and write no more summaries."""
        try:
            yield
        except Exception as error:
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            self._file = None
            text = " ".join(f"{type(error).__name__}: {error}".split())
            _logger.warning(
                "%s: no more TensorBoard summaries are written (%s). The search continues; to"
                " get summaries again, fix this and resume the search.",
                state.workdir / FOLDER,
                text,
            )


class _EventFile:
    """Write a file of summaries in the calling thread.

    tensorboardX's SummaryWriter writes in another thread. When that thread fails, for instance on a
    full disk, the caller waits for it indefinitely, even at the end of the process.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{time.time_ns()}"
        self._file = (folder / name).open("xb")

    def begin(self, purge_step: int | None) -> None:
        """Write the header of the file. It invalidates other files' steps from `purge_step` on."""
        from tensorboardX.proto.event_pb2 import SessionLog  # pyright: ignore[reportAttributeAccessIssue]

        self._add(0, file_version="brain.Event:2")
        if purge_step is not None:
            self._add(purge_step, session_log=SessionLog(status=SessionLog.START))

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        from tensorboardX.summary import scalar

        self._add(step, summary=scalar(tag, value))

    def add_image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Add an image, (height, width, 3) uint8."""
        from tensorboardX.summary import image

        self._add(step, summary=image(tag, pixels, dataformats="HWC"))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Close the file, even if that raises an OSError."""
        self._file.close()

    def _add(self, step: int, **content: Any) -> None:
        """Write an event in the TFRecord format: its length, then its bytes, each with a CRC."""
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
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
    """Render a figure as (height, width, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
