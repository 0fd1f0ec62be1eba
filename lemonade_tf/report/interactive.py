"""plots/parallel.html: the front in parallel coordinates, to pick a network with.

Dragging along an axis leaves the networks between, and the table below the picture has only those.
The page holds all that it needs, so that it opens on a machine without a connection: 4.8 MB, most
of which is Plotly. Hence it is a page of its own.
"""

from __future__ import annotations

import html
from math import log10
from typing import Any

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.colors import error_colors
from lemonade_tf.report.front_table import STYLE, html_table
from lemonade_tf.report.parallel import positions
from lemonade_tf.report.quantities import in_words, written_short
from lemonade_tf.report.scales import extent, values_of
from lemonade_tf.runs.run import Run
from lemonade_tf.store.atomic import write_atomic

PAGE = "parallel.html"
HEIGHT = 480  # pixels
NEAR = 0.045  # of an axis: numbers that are closer would cover each other

NOTHING = "\u200b"  # a space without width

# Rows and lines are in the same order. The table comes after the picture.
_SCRIPT = """
const plot = document.getElementById("{plot_id}");
const rows = () => [...document.querySelectorAll("table tr")].slice(1);
function holds(axis, i) {
  if (!axis.constraintrange) return true;
  const ranges = [axis.constraintrange].flat(2);
  for (let k = 0; k < ranges.length; k += 2)
    if (ranges[k] <= axis.values[i] && axis.values[i] <= ranges[k + 1]) return true;
  return false;
}
function leaveRows() {
  const axes = plot.data[0].dimensions;
  rows().forEach((row, i) => { row.hidden = !axes.every(axis => holds(axis, i)); });
  document.getElementById("left").textContent = rows().filter(row => !row.hidden).length;
}
plot.on("plotly_restyle", leaveRows);
"""


def write_interactive(run: Run) -> None:
    """Write plots/parallel.html."""
    path = run.store.path / "plots" / PAGE
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, _page(run).encode())


def _page(run: Run) -> str:
    title = f"The front of {html.escape(run.store.path.name)}"
    plot = interactive_figure(run).to_html(
        full_html=False,
        include_plotlyjs=True,
        div_id="plot",
        post_script=_SCRIPT,
        config={"displaylogo": False, "responsive": True},
    )
    num = len(run.front())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<style>{STYLE}\nbody {{ max-width: 90rem }}</style>"
        f"<h1>{title}</h1><p>Drag along an axis to say what you can afford, or what you want;"
        f" click on the axis to take it back. <b id=left>{num}</b> of {num} networks are left;"
        f" their files are models/ID.h5.</p>{plot}{html_table(run)}</html>\n"
    )


def interactive_figure(run: Run) -> Any:
    """Return the front in parallel coordinates as a figure of Plotly."""
    from matplotlib.colors import to_hex
    from plotly.graph_objects import Figure, Parcoords

    colors = error_colors(run)
    errors = values_of(run.error, run.front())
    steps = [step / 16 for step in range(17)]
    lines = {
        "color": [float(colors.norm(error)) for error in errors],
        "cmin": 0,
        "cmax": 1,
        "colorscale": [[step, to_hex(colors.cmap(step))] for step in steps],
    }
    axes = [_axis(run, objective) for objective in (run.error, *run.others)]
    figure = Figure(
        Parcoords(
            dimensions=axes,
            line=lines,
            labelside="top",
            labelfont={"size": 14},
            tickfont={"size": 11},
        )
    )
    figure.update_layout(height=HEIGHT, margin={"l": 90, "r": 60, "t": 70, "b": 30})
    return figure


def _axis(run: Run, objective: Objective) -> dict[str, Any]:
    """Return an axis: the logarithm of what is on a log scale, with the numbers themselves on it.

    Plotly has no log axis here, only numbers of one's own along an axis; and then what is dragged
    ends between two of them. So each network has one.
    """
    front = run.front()
    along = log10 if objective.scale == "log" else float
    values = values_of(objective, front)
    texts = spaced(objective, dict(zip(positions(objective, front), values, strict=True)))
    return {
        "label": in_words(objective),
        "values": [along(value) for value in values],
        "range": [along(end) for end in extent(objective, front)],
        "tickvals": [along(value) for value in sorted(set(values))],
        # Plotly takes equal texts for one number; these are not, and look as if they were.
        "ticktext": [text + NOTHING * count for count, text in enumerate(texts)],
    }


def spaced(objective: Objective, values: dict[float, float]) -> list[str]:
    """Return the texts of values by position, in their order; empty where there is no room."""
    places, last, top = [], -1.0, max(values, default=0.0)
    for at in sorted(values):
        if at - last >= NEAR and (at == top or top - at >= NEAR):
            places.append(at)
            last = at
    texts = written_short(objective, [values[at] for at in places])
    of_place = dict(zip(places, texts, strict=True))
    return [of_place.get(at, "") for at in sorted(values)]
