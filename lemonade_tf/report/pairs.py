"""Every objective against every other, as the lower triangle of a matrix."""

from __future__ import annotations

from typing import Any

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.colors import error_colors
from lemonade_tf.report.figure import blank_figure, style
from lemonade_tf.report.parallel import ends
from lemonade_tf.report.quantities import in_words
from lemonade_tf.report.scales import dress_small, extent, values_of
from lemonade_tf.runs.run import Run

PANEL, SIDE = 1.75, 6.0  # inches, at least: of a panel, of all together
MARGINS = (0.9, 0.6)  # for what stands to the left and below
OTHERS = "#c9ccd1"


def pairs_figure(run: Run) -> Any:
    """Draw all pairs of objectives: all networks pale, the front in the colors of its error."""
    objectives = (run.error, *run.others)
    side = len(objectives) - 1
    inches = max(SIDE, PANEL * side)
    figure = blank_figure(inches + MARGINS[0], inches + MARGINS[1])
    grid = figure.subplots(side, side, squeeze=False)
    colors = error_colors(run)
    for row, below in enumerate(objectives[1:]):
        for column, beside in enumerate(objectives[:-1]):
            axes = grid[row, column]
            if column > row:
                axes.remove()
                continue
            _draw_pair(axes, run, beside, below, colors)
            axes.tick_params(labelleft=column == 0, labelbottom=row == side - 1, labelsize=8)
            axes.set_ylabel(in_words(below) if column == 0 else "", fontsize=9)
            axes.set_xlabel(in_words(beside) if row == side - 1 else "", fontsize=9)
    figure.align_ylabels()
    _add_key(figure, run, colors)
    return figure


def _draw_pair(axes: Any, run: Run, beside: Objective, below: Objective, colors: Any) -> None:
    front = run.front()
    axes.scatter(
        values_of(beside, run.trained), values_of(below, run.trained), s=6, color=OTHERS, lw=0
    )
    axes.scatter(
        values_of(beside, front),
        values_of(below, front),
        s=18,
        c=values_of(run.error, front),
        norm=colors.norm,
        cmap=colors.cmap,
        edgecolors="white",
        linewidths=0.4,
    )
    dress_small(axes, "x", beside, run.trained)
    dress_small(axes, "y", below, run.trained)
    style(axes)


def _add_key(figure: Any, run: Run, colors: Any) -> None:
    """Say in the empty corner what the colors mean."""
    width, height = figure.get_size_inches()
    left, top = 1 - 1.9 / width, 1 - 0.75 / height
    bar = figure.add_axes((left, top, 1.6 / width, 0.1 / height))
    figure.colorbar(colors, cax=bar, orientation="horizontal")
    low, high = extent(run.error, run.front())
    numbers = {low + at * (high - low): text for at, text in ends(run.error, run.front()).items()}
    bar.set_xticks(list(numbers), list(numbers.values()), fontsize=8)
    bar.minorticks_off()
    bar.set_title(
        f"front in all {len(run.objectives)} objectives,\nby {in_words(run.error)}",
        fontsize=9,
        loc="left",
    )
    figure.text(left, top - 0.5 / height, f"pale: all {len(run.trained)} networks", fontsize=8)
