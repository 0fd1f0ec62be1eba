"""report.html: a run on one page, and the figures in plots/ that it shows.

`plots/pareto_front.png` is the paper's Figure 2: every trained network, and the front after several
generations; `pareto_front_NAME.png` shows the other objectives. `plots/hypervolume.png` shows the
hypervolume of the front against the number of trained networks. With more than two objectives,
`plots/panels.png` is the paper's Figure 6, `plots/pairs.png` shows all pairs of objectives, and
`plots/parallel.png` the front in parallel coordinates; `plots/parallel.html` is its interactive
version.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lemonade_tf.report.figure import write_figure
from lemonade_tf.report.front_plot import front_figure
from lemonade_tf.report.front_table import table_rows
from lemonade_tf.report.hypervolume import hypervolume_figure
from lemonade_tf.report.interactive import PAGE, write_interactive
from lemonade_tf.report.markup import html_page, html_table
from lemonade_tf.report.pairs import pairs_figure
from lemonade_tf.report.panels import panels_figure
from lemonade_tf.report.parallel import parallel_figure
from lemonade_tf.runs.choosing import LOWEST_ERROR, choose
from lemonade_tf.runs.run import Run
from lemonade_tf.store.atomic import write_atomic


def write_report(run: Run) -> Path:
    """Write report.html and the figures of a run; return the path of report.html."""
    figures, table = report_figures(run), html_table(*table_rows(run))
    for name, figure in figures.items():
        write_figure(run.store.path / "plots" / f"{name}.png", figure)
    if len(run.objectives) > 2:
        write_interactive(run, table)
    path = run.store.path / "report.html"
    write_atomic(path, _page(run, figures, table).encode("utf-8", "backslashreplace"))
    return path


def report_figures(run: Run) -> dict[str, Any]:
    """Return the figures of a run by name, in the order of the page."""
    figures = {}
    if len(run.objectives) > 2:
        figures = {
            "parallel": parallel_figure(run),
            "panels": panels_figure(run),
            "pairs": pairs_figure(run),
        }
    for objective in run.others:
        name = "pareto_front" if objective is run.others[0] else f"pareto_front_{objective.name}"
        figures[name] = front_figure(run, objective)
    figures["hypervolume"] = hypervolume_figure(run)
    return figures


def _page(run: Run, figures: Iterable[str], table: str) -> str:
    images = "".join(
        f'<p><img src="plots/{name}.png" alt="{name.replace("_", " ")}"></p>' for name in figures
    )
    if len(run.objectives) > 2:
        images = f'<p><a href="plots/{PAGE}">Choose a network by its objectives</a></p>{images}'
    failed = len(run.history) - len(run.trained)
    summary = (
        f"{len(run.trained)} networks trained, {failed} failed, {run.num_generations} generations;"
        f" data set {run.config.dataset}, seed {run.config.seed}."
    )
    return html_page(
        f"LEMONADE: {run.store.path.name}",
        f"<p>{html.escape(summary)}</p>{images}<h2>Pareto front</h2>{table}{_recommendation(run)}",
    )


def _recommendation(run: Run) -> str:
    """Return a paragraph that says which network has the least error, and how to load it."""
    best = choose(run, LOWEST_ERROR) if run.trained else None
    if best is None:
        return ""
    file = run.store.models.path(best.id).relative_to(run.store.path)
    return (
        f"<p>{best.id} has the least validation error; load it with"
        f' <code>keras.models.load_model("{file}")</code>.</p>'
    )
