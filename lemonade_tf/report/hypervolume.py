"""The hypervolume of a run's front against the number of trained networks."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from lemonade_tf.report.figure import new_figure
from lemonade_tf.runs.run import Run

MAX_LINE_LENGTH = 105  # characters in the title
NO_BREAK_SPACE = "\xa0"


def hypervolume_figure(run: Run) -> Any:
    """Plot the hypervolume of the front against the number of trained networks."""
    figure, axes = new_figure()
    values = run.hypervolumes()
    num_initial = sum(network.generation == 0 for network in run.trained)
    axes.plot(np.arange(1, len(values) + 1), values, drawstyle="steps-post", color="#35608d")
    if len(values) > num_initial > 0:
        axes.axvline(num_initial, color="grey", linewidth=0.8, linestyle=":")
        axes.annotate(
            " initial networks end here",
            (num_initial, 0.02),
            xycoords=("data", "axes fraction"),
            color="grey",
            fontsize=8,
        )
    point = ", ".join(
        f"{name}{NO_BREAK_SPACE}{value:,.10g}" for name, value in run.config.reference_point.items()
    )
    title = textwrap.fill(f"Reference point: {point}", MAX_LINE_LENGTH)
    axes.set_xlabel("trained networks")
    axes.set_ylabel("hypervolume of the front")
    axes.set_title(title.replace(NO_BREAK_SPACE, " "), loc="left", fontsize=9)
    return figure
