"""plots/parallel.html: the front in parallel coordinates, interactive, to choose a network.

Dragging along an axis selects a range; the table below the plot then lists only the networks within
all ranges. The page contains everything it needs, so it opens without a network connection. It is
a separate file because Plotly makes it 4.8 MB.
"""

from __future__ import annotations

from math import log10
from typing import Any

from lemonade_tf.objectives.objective import Objective
from lemonade_tf.report.colors import error_colors
from lemonade_tf.report.formatting import display_name, format_ticks
from lemonade_tf.report.markup import html_page
from lemonade_tf.report.scales import extent, positions, values_of
from lemonade_tf.runs.run import Run
from lemonade_tf.store.atomic import write_atomic

PAGE = "parallel.html"
HEIGHT = 480  # pixels
MIN_DISTANCE = 0.045  # between labels, as a fraction of the axis; closer ones would overlap
ZERO_WIDTH_SPACE = "\u200b"

# The rows of the table and the lines of the plot are in the same order.
_SCRIPT = """
const plot = document.getElementById("{plot_id}");
const rows = () => [...document.querySelectorAll("table tr")].slice(1);
function isSelected(axis, i) {
  if (!axis.constraintrange) return true;
  const ranges = [axis.constraintrange].flat(2);
  for (let k = 0; k < ranges.length; k += 2)
    if (ranges[k] <= axis.values[i] && axis.values[i] <= ranges[k + 1]) return true;
  return false;
}
function filterRows() {
  const axes = plot.data[0].dimensions;
  rows().forEach((row, i) => { row.hidden = !axes.every(axis => isSelected(axis, i)); });
  document.getElementById("selected").textContent = rows().filter(row => !row.hidden).length;
}
plot.on("plotly_restyle", filterRows);
"""


def write_interactive(run: Run, table: str) -> None:
    """Write plots/parallel.html.

    Args:
        run: The run.
        table: Its front as an HTML table, one row per network.
    """
    path = run.store.path / "plots" / PAGE
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, _page(run, table).encode("utf-8", "backslashreplace"))


def _page(run: Run, table: str) -> str:
    plot = interactive_figure(run).to_html(
        full_html=False,
        include_plotlyjs=True,
        div_id="plot",
        post_script=_SCRIPT,
        config={"displaylogo": False, "responsive": True},
    )
    num = len(run.front())
    return html_page(
        f"Pareto front of {run.store.path.name}",
        "<p>Drag along an axis to select a range; click on the axis to remove it."
        f" <b id=selected>{num}</b> of {num} networks are selected; their files are"
        f" models/ID.h5.</p>{plot}{table}",
        style="\nbody { max-width: 90rem }",
    )


def interactive_figure(run: Run) -> Any:
    """Return the front in parallel coordinates as a Plotly figure."""
    from matplotlib.colors import to_hex
    from plotly.graph_objects import Figure, Parcoords

    front = run.front()
    colors = error_colors(run.error, front)
    errors = values_of(run.error, front)
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
    """Return the description of an axis for Plotly.

    Plotly has no log axes in parallel coordinates, so an axis on a log scale has logarithms as
    values and the original values as tick labels. With custom ticks, a dragged range snaps to
    ticks; hence each network has a tick, and those without room for a label have an empty one.
    """
    front = run.front()
    transform = log10 if objective.scale == "log" else float
    values = values_of(objective, front)
    labels = spaced_labels(objective, dict(zip(positions(objective, front), values, strict=True)))
    return {
        "label": display_name(objective),
        "values": [transform(value) for value in values],
        "range": [transform(end) for end in extent(objective, front)],
        "tickvals": [transform(value) for value in sorted(set(values))],
        # Plotly merges ticks with equal labels; invisible characters make them differ.
        "ticktext": [text + ZERO_WIDTH_SPACE * count for count, text in enumerate(labels)],
    }


def spaced_labels(objective: Objective, values: dict[float, float]) -> list[str]:
    """Return the labels of values by position, in order of position; empty where they overlap.

    The first and the last value always have a label.
    """
    labeled, last, end = [], -1.0, max(values, default=0.0)
    for at in sorted(values):
        if at - last >= MIN_DISTANCE and (at == end or end - at >= MIN_DISTANCE):
            labeled.append(at)
            last = at
    texts = format_ticks(objective, [values[at] for at in labeled])
    by_position = dict(zip(labeled, texts, strict=True))
    return [by_position.get(at, "") for at in sorted(values)]
