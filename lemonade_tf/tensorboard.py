"""Summaries of a search for TensorBoard, in the run folder: `tensorboard --logdir RUN/tensorboard`.

Written by tensorboardX, which does not load TensorFlow. The step of a summary is the number of
networks on record.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from lemonade_tf.report import front_figure, read_run
from lemonade_tf.search.callbacks import Callback, SearchState

FOLDER = "tensorboard"


class TensorBoard(Callback):
    """Writes the errors and seconds of each network, and the front of each generation."""

    def __init__(self) -> None:
        self._writer: Any = None

    def on_search_begin(self, state: SearchState) -> None:
        """Open a new file; what an earlier one has of steps that are yet to come is void."""
        from tensorboardX import SummaryWriter

        purge_step = state.num_recalled + 1 if state.num_recalled else None
        # tensorboardX names files by the second, and one opened in the same second would replace
        # that of the search that is resumed.
        self._writer = SummaryWriter(
            str(state.workdir / FOLDER),
            purge_step=purge_step,
            filename_suffix=f".{time.time_ns()}",
        )

    def on_network_end(self, state: SearchState, record: Mapping[str, Any]) -> None:
        """Write what is known of one network."""
        step = state.num_trained + state.num_failed
        if record["failure"] is None:
            for name, value in record["objectives"].items():
                self._writer.add_scalar(f"network/{name}", value, step)
            if record["test_error"] is not None:
                self._writer.add_scalar("network/test_error", record["test_error"], step)
            for when, distances in (record["epsilon"] or {}).items():
                self._writer.add_scalar(f"epsilon/{when}_distillation", distances["kl"], step)
        for phase, seconds in record["seconds"].items():
            self._writer.add_scalar(f"seconds/{phase}", seconds, step)
        self._writer.add_scalar("search/failed", state.num_failed, step)
        self._writer.flush()

    def on_generation_end(self, state: SearchState) -> None:
        """Write what is known of the front, and its picture."""
        step = state.num_trained + state.num_failed
        self._writer.add_scalar("search/generation", state.generation, step)
        self._writer.add_scalar("search/hypervolume", state.hypervolume, step)
        self._writer.add_scalar("search/front_size", len(state.front), step)
        if state.best_error is not None:
            self._writer.add_scalar("search/best_error", state.best_error, step)
        run = read_run(state.workdir)
        for objective in run.others:
            image = _pixels(front_figure(run, objective))
            self._writer.add_image(f"front/{objective.name}", image, step, dataformats="HWC")
        self._writer.flush()

    def on_search_end(self, state: SearchState) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


def _pixels(figure: Any) -> np.ndarray:
    """Return a figure as (height, width, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
