"""report.html: a run on one page, which needs no other file; and the figures in plots/.

The page is a small program: its style and its scripts are in assets/, its data is JSON that
`page_data` makes. It draws with SVG instead of Plotly, whose script alone has 4.8 MB, so the page
of a search of 4,000 networks can be mailed. Its policy forbids everything from elsewhere.

`plots/pareto_front.png` is the paper's Figure 2: every trained network, and the front after several
generations; `pareto_front_NAME.png` shows the other objectives. `plots/hypervolume.png` shows the
hypervolume of the front against the number of trained networks. With more than two objectives,
`plots/panels.png` is the paper's Figure 6, `plots/pairs.png` shows all pairs of objectives, and
`plots/parallel.png` the front in parallel coordinates; `plots/parallel.html` is its interactive
version.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from lemonade_tf.report.figure import write_figure
from lemonade_tf.report.front_files import FrontFiles
from lemonade_tf.report.front_plot import front_figure
from lemonade_tf.report.front_table import table_rows
from lemonade_tf.report.hypervolume import hypervolume_figure
from lemonade_tf.report.interactive import write_interactive
from lemonade_tf.report.markup import html_table
from lemonade_tf.report.page_data import page_data
from lemonade_tf.report.pairs import pairs_figure
from lemonade_tf.report.panels import panels_figure
from lemonade_tf.report.parallel import parallel_figure
from lemonade_tf.runs.run import Run
from lemonade_tf.store.atomic import write_atomic

SCRIPTS = ("values.js", "plot.js", "details.js", "main.js")
REPORT = "report.html"


def write_report(run: Run) -> Path:
    """Write report.html and the figures of a run; return the path of report.html."""
    for name, figure in report_figures(run).items():
        write_figure(run.store.path / "plots" / f"{name}.png", figure)
    if len(run.objectives) > 2:
        write_interactive(run, html_table(*table_rows(run)))
    return write_page(run)


def write_page(run: Run, known: FrontFiles | None = None) -> Path:
    """Write report.html without the figures, atomically; return its path.

    Args:
        run: The run.
        known: What was read of files before, by id; new networks are added.
    """
    path = run.store.path / REPORT
    data = data_of_folder(run, known)
    write_atomic(path, html_of(data, run=run).encode("utf-8", "backslashreplace"))
    return path


def data_of_folder(run: Run, known: FrontFiles | None = None) -> dict[str, Any]:
    """Return the data of the page of a run, whose search may be running."""
    is_running = run.store.is_locked()
    proposals = run.store.proposals.read(growing=is_running)
    return page_data(run, proposals, is_running=is_running, known=known)


def html_of(data: Mapping[str, Any], *, run: Run, live: bool = False) -> str:
    """Return the page.

    Args:
        data: As from `page_data`.
        run: The run, for readers without JavaScript.
        live: Whether the page is served, and asks for newer data.
    """
    script, style = _assets()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}';"
        " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    title = html.escape(f"LEMONADE: {data['title']}")
    summary = (
        f"{len(run.trained)} networks trained, {len(run.history) - len(run.trained)} failed,"
        f" {run.num_generations} generations; data set {run.config.dataset}, seed"
        f" {run.config.seed}."
    )
    # In a script element, only "<" could end the element or open a comment.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    remark = f"<p>{data['remark']}</p>" if data["remark"] else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<title>{title}</title><style>{style}</style></head>
<body{" data-live" if live else ""}><main>
<h1>{title}</h1><p class="soft">{html.escape(summary)}</p>
<p id="state"></p><progress id="progress" aria-label="Networks trained" value="0"></progress>
<h2>Pareto front</h2>
<noscript>{html_table(*table_rows(run))}{remark}</noscript>
<div id="controls"></div><div id="plot"><div id="tip" hidden></div></div>
<div id="front"></div><p id="said" class="soft" aria-live="polite"></p>
<section id="details" aria-label="The chosen network"></section><div id="rest"></div></main>
<script type="application/json" id="data">{text}</script><script>{script}</script></body></html>
"""


@cache
def _assets() -> tuple[str, str]:
    """Return the script and the style of the page."""
    folder = files("lemonade_tf.report").joinpath("assets")
    read = {name: folder.joinpath(name).read_text("utf-8") for name in (*SCRIPTS, "page.css")}
    return "".join(read[name] for name in SCRIPTS), read["page.css"]


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
