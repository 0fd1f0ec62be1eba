"""The colors of networks on the front: by validation error, dark where it is low."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.scales import extent
from lemonade_tf.store import NetworkRecord

PALEST = 0.9  # of viridis, whose bright end is hard to see on white
POWER = 0.5  # spreads the low errors, which most networks of a front have, over more colors


def error_colors(error: Objective, front: Sequence[NetworkRecord]) -> Any:
    """Return a matplotlib ScalarMappable from the errors of a front, as fractions, to colors."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    colors = colormaps["viridis"]([PALEST * step / 255 for step in range(256)])
    return ScalarMappable(
        PowerNorm(POWER, *extent(error, front)),
        LinearSegmentedColormap.from_list("viridis without its bright end", colors),
    )
