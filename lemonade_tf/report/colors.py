"""The colors of networks on the front: by their validation error, dark where it is low."""

from __future__ import annotations

from typing import Any

from lemonade_tf.report.scales import extent
from lemonade_tf.runs.run import Run

PALEST = 0.9  # of viridis, whose end is hard to see on white
POWER = 0.5  # many networks of a front have low errors, and should not all have the same color


def error_colors(run: Run) -> Any:
    """Return what maps the errors of the front, as they lie in the run, to colors."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    colors = colormaps["viridis"]([PALEST * step / 255 for step in range(256)])
    return ScalarMappable(
        PowerNorm(POWER, *extent(run.error, run.front())),
        LinearSegmentedColormap.from_list("viridis, without its end", colors),
    )
