"""A run as pictures and tables, from its folder alone.

`plots/pareto_front.png` is the paper's Figure 2: every evaluated network, and the front after
several generations. `plots/hypervolume.png` is the hypervolume of the front against the number of
networks trained. `report.html` shows both with the front as a table.
"""

from __future__ import annotations

import html
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.atomic import write_atomic
from lemonade_tf.evolution import hypervolume, pareto_front
from lemonade_tf.objectives import Objective, objectives_of
from lemonade_tf.quality import coordinates
from lemonade_tf.store import RunStore

MAX_FRONTS = 5
IN_CELLS = "_in_cells"  # ends the names of the operators of space II


@dataclass(frozen=True)
class Run:
    """What a run folder says.

    Attributes:
        store: The folder.
        config: The contents of config.json.
        history: The lines of history.jsonl, in order of completion.
    """

    store: RunStore
    config: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives of the run."""
        return objectives_of(self.config)

    @cached_property
    def trained(self) -> list[Mapping[str, Any]]:
        """The lines of networks that were trained and did not fail."""
        return [line for line in self.history if line["failure"] is None]

    @property
    def num_generations(self) -> int:
        """The number of the last generation that trained a network."""
        return max((line["generation"] for line in self.trained), default=0)

    def front(self, generation: int | None = None) -> list[Mapping[str, Any]]:
        """Return the lines of the front after a generation, from the smallest network on."""
        lines = [
            line for line in self.trained if generation is None or line["generation"] <= generation
        ]
        return self._front_of(lines)

    def hypervolumes(self) -> np.ndarray:
        """Return the hypervolume of the front after each trained network, (networks,)."""
        reference = np.array(coordinates(self.objectives, self.config["reference"]))
        front, value, values = np.empty((0, len(reference))), 0.0, []
        for line in self.trained:
            point = np.array(coordinates(self.objectives, line["objectives"]))
            if not (front <= point).all(axis=1).any():
                front = np.vstack([front[~(point <= front).all(axis=1)], point])
                value = hypervolume(front, reference)
            values.append(value)
        return np.array(values)

    def _front_of(self, lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        if not lines:
            return []
        points = np.array([coordinates(self.objectives, line["objectives"]) for line in lines])
        front = [lines[i] for i in pareto_front(points, keep_equal=False)]
        size = next(o.name for o in self.objectives if o.cheap)
        return sorted(front, key=lambda line: line["objectives"][size])


def read_run(workdir: str | Path) -> Run:
    """Return what a run folder says.

    Raises:
        StoreError: The folder holds no run, or one that is damaged.
    """
    store = RunStore.open(workdir)
    return Run(store, store.read_config(), store.read_history())


def write_report(run: Run) -> Path:
    """Write the plots and report.html of a run, and return the path of the latter."""
    cheap = [o for o in run.objectives if o.cheap]
    names = []
    for objective in cheap:
        name = "pareto_front" if objective is cheap[0] else f"pareto_front_{objective.name}"
        write_figure(run.store.path / "plots" / f"{name}.png", front_figure(run, objective))
        names.append(name)
    write_figure(run.store.path / "plots" / "hypervolume.png", hypervolume_figure(run))
    path = run.store.path / "report.html"
    write_atomic(path, _page(run, [*names, "hypervolume"]).encode())
    return path


def write_figure(path: Path, figure: Any) -> None:
    """Write a figure as a PNG file."""
    path.parent.mkdir(exist_ok=True)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=144)
    write_atomic(path, content.getvalue())


def new_figure() -> tuple[Any, Any]:
    """Return a figure and its axes, as all pictures here have them."""
    from matplotlib.figure import Figure  # half a second that a search need not wait for

    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def front_figure(run: Run, objective: Objective) -> Any:
    """Draw the error against a cheap objective: all networks, and the front after generations."""
    from matplotlib import colormaps
    from matplotlib.ticker import EngFormatter

    figure, axes = new_figure()
    last = max(run.num_generations, 1)
    color = colormaps["viridis_r"]
    points = [(line["objectives"], line["generation"]) for line in run.trained]
    axes.scatter(
        [values[objective.name] for values, _ in points],
        [100 * values["error"] for values, _ in points],
        c=[color(0.1 + 0.9 * generation / last) for _, generation in points],
        s=14,
        alpha=0.45,
        linewidths=0,
    )
    for generation in shown_generations(run.num_generations):
        front = [line["objectives"] for line in run.front(generation)]
        if not front and run.trained:  # random networks have no initial ones
            continue
        front.sort(key=lambda values: values[objective.name])
        axes.plot(
            [values[objective.name] for values in front],
            [100 * values["error"] for values in front],
            drawstyle="steps-post",
            marker="o",
            markersize=4,
            color=color(0.1 + 0.9 * generation / last),
            label="initial networks" if generation == 0 else f"generation {generation}",
        )
    if objective.scale == "log":
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(objective.name.replace("_", "-"))
    axes.set_ylabel("validation error (%)")
    axes.set_title(f"Pareto front over the generations: {run.config['dataset']}", loc="left")
    axes.legend(frameon=False)
    return figure


def hypervolume_figure(run: Run) -> Any:
    """Draw the hypervolume of the front against the number of networks trained."""
    figure, axes = new_figure()
    values = run.hypervolumes()
    num_initial = sum(line["generation"] == 0 for line in run.trained)
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
    reference = ", ".join(
        f"{name} {value:,.10g}" for name, value in run.config["reference"].items()
    )
    axes.set_xlabel("networks trained")
    axes.set_ylabel("hypervolume of the front")
    axes.set_title(f"Reference point: {reference}", loc="left", fontsize=9)
    return figure


def shown_generations(last: int) -> list[int]:
    """Return the generations whose fronts are drawn: the first two, the last, some between."""
    if last < MAX_FRONTS:
        return list(range(last + 1))
    between = np.geomspace(1, last, MAX_FRONTS - 1).round().astype(int)
    return sorted({0, *map(int, between)})


# --- Tables ----------------------------------------------------------------------------------


def table_rows(run: Run) -> tuple[list[str], list[list[str]]]:
    """Return the front as a header and rows of text: percents for errors, thousands separated.

    The cells of space II have numbers as in the paper: Cell 0 is that of the largest network.
    """
    front = run.front()
    of_cells = run.config.get("space") == "cells"
    header = [
        "id",
        *(["cell"] if of_cells else ()),
        *(o.name.replace("_", "-") for o in _beside_error(run)),
    ]
    header += ["validation error", "test error", "made by"]
    rows = []
    for number, line in zip(reversed(range(len(front))), front, strict=True):
        values, test = line["objectives"], line["test_error"]
        rows.append(
            [
                line["id"],
                *([f"Cell {number}"] if of_cells else ()),
                *(o.shown(values[o.name]) for o in _beside_error(run)),
                f"{100 * values['error']:.2f} %",
                "" if test is None else f"{100 * test:.2f} %",
                _made_by(line),
            ]
        )
    return header, rows


def _beside_error(run: Run) -> list[Objective]:
    """Return the objectives but the error, the cheap ones first."""
    others = [o for o in run.objectives if o.name != "error"]
    return sorted(others, key=lambda o: not o.cheap)


def _made_by(line: Mapping[str, Any]) -> str:
    names = (entry["operator"].removesuffix(IN_CELLS) for entry in line["operators"])
    counts = Counter(names)
    times = (f"{count} x {name}" if count > 1 else name for name, count in counts.items())
    return ", ".join(times) or ("random" if line["generation"] else "initial")


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } img { max-width: 100% }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #ddd }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left }
""".strip()


def _page(run: Run, figures: Sequence[str]) -> str:
    header, rows = table_rows(run)
    cells = "".join(f"<th>{html.escape(text)}</th>" for text in header)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    pictures = "".join(
        f'<p><img src="plots/{n}.png" alt="{n.replace("_", " ")}"></p>' for n in figures
    )
    failed = len(run.history) - len(run.trained)
    summary = (
        f"{len(run.trained)} networks trained, {failed} failed, {run.num_generations} generations;"
        f" data set {run.config['dataset']}, seed {run.config['seed']}."
    )
    title = f"LEMONADE: {html.escape(run.store.path.name)}"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<style>{_STYLE}</style><h1>{title}</h1><p>{html.escape(summary)}</p>{pictures}"
        f"<h2>The front</h2><table><tr>{cells}</tr>{lines}</table></html>\n"
    )
