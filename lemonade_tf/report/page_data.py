"""The data of report.html as plain JSON: everything that the page shows.

All networks have their objectives, parents and operators; only those of the front and their
ancestors have more, and the most recent ones. So the page of thousands of networks stays small.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lemonade_tf.errors import as_path, quoted, shell_command
from lemonade_tf.report.formatting import display_name
from lemonade_tf.report.front_files import FrontFiles, front_files
from lemonade_tf.report.operator_counts import operator_counts
from lemonade_tf.runs.choosing import KNEE, LOWEST_ERROR, choose, other_sizes
from lemonade_tf.runs.front import remark_on_ties
from lemonade_tf.runs.intervals import num_images_of
from lemonade_tf.runs.pace import seconds_by_phase, seconds_left
from lemonade_tf.runs.run import Run
from lemonade_tf.store import NetworkRecord, ProposalRecord

MAX_CURVES = 300  # networks with a training curve besides those of the front and their ancestors
MAX_FAILURES = 50
MAX_POINTS = 400  # of the hypervolume
MAX_OBJECTIVES = 3  # for whose front the hypervolume takes milliseconds
_COMMANDS = (("draw",), ("export", "--format", "tflite"), ("retrain",), ("pin",))


def page_data(
    run: Run,
    proposals: Sequence[ProposalRecord],
    *,
    is_running: bool,
    known: FrontFiles | None = None,
) -> dict[str, Any]:
    """Return the data of the page.

    Args:
        run: The run.
        proposals: Its proposed children.
        is_running: Whether a search is running in its folder.
        known: What was read of files before, by id; new networks are added.
    """
    from lemonade_tf.presets import command_line  # not needed to read this module

    config, trained, front = run.config, run.trained, run.front()
    position = {network.id: number for number, network in enumerate(trained)}
    names = list(dict.fromkeys(name for n in trained for name in n.operator_names))
    lines = _lineages(front, trained)
    folder = str(run.store.path)
    is_finished = config.finished_generations == config.num_generations
    return {
        "title": run.store.path.name or folder,
        "folder": folder,
        "updated": time.time(),
        "state": "running" if is_running else "finished" if is_finished else "not running",
        "progress": _progress(run),
        "objectives": [
            {"name": o.name, "title": display_name(o), "unit": o.unit, "scale": o.scale}
            for o in (run.error, *run.others)
        ],
        "measured": [
            {"name": o.name, "title": display_name(o), "unit": o.unit, "scale": o.scale}
            | {"values": {id_: _short(value) for id_, value in run.measured[o.name].items()}}
            for o in (run.error, *run.others, *other_sizes(run))
            if o.name in run.measured
        ],
        "images": {
            name: number
            for name in (*(o.name for o in run.objectives), "test_error")
            if (number := num_images_of(config, name))
        },
        "ids": [network.id for network in trained],
        "parents": [position.get(network.parent or "", -1) for network in trained],
        "operator_names": names,
        "operators": [[names.index(name) for name in n.operator_names] for n in trained],
        "values": {o.name: [_short(n.objectives[o.name]) for n in trained] for o in run.objectives},
        "test": [None if n.test_error is None else _short(n.test_error) for n in trained],
        "front": [position[network.id] for network in front],
        "remark": remark_on_ties(front),
        "knee": choose(run, KNEE).id if trained else None,
        "best": choose(run, LOWEST_ERROR).id if trained else None,
        "sites": {network.id: _with_sites(network) for network in lines},
        "losses": {n.id: _losses(n) for n in (*lines, *trained[-MAX_CURVES:])},
        "files": front_files(run.store, config, front, {} if known is None else known),
        "num_classes": config.images.num_classes,
        "operator_counts": operator_counts(run, proposals),
        "phases": seconds_by_phase(run.history),
        "hypervolume": _hypervolumes(run),
        "failures": [
            [record.id, quoted(record.failure)] for record in run.history if record.failure
        ][-MAX_FAILURES:],
        "commands": [
            shell_command("lemonade-tf", command, as_path(folder), "ID", *options).replace(
                " ID", " {id}"
            )
            for command, *options in _COMMANDS
        ],
        "command": command_line(config.settings),
        "settings": _settings(run),
    }


def _progress(run: Run) -> dict[str, Any]:
    config, trained = run.config, len(run.trained)
    num_expected = config.num_initial + config.num_generations * config.num_accepted
    return {
        "generation": run.num_generations,
        "num_generations": config.num_generations,
        "trained": trained,
        "failed": len(run.history) - trained,
        "expected": num_expected,
        "seconds_left": seconds_left(run.history, num_expected),
    }


def _losses(network: NetworkRecord) -> list[list[float]]:
    """Return the losses of training and of distillation, by epoch."""
    both = (network.losses, network.distillation_losses)
    return [[_short(loss, 4) for loss in losses] for losses in both]


def _short(value: float, digits: int = 6) -> float:
    """Return a value with fewer digits, which are enough to show it; integers stay exact."""
    return value if isinstance(value, int) else float(f"{value:.{digits}g}")


def _lineages(
    front: Iterable[NetworkRecord], trained: Iterable[NetworkRecord]
) -> list[NetworkRecord]:
    """Return the networks of a front and their ancestors."""
    by_id, found = {network.id: network for network in trained}, {}
    for network in front:
        ancestor: NetworkRecord | None = network
        while ancestor is not None and ancestor.id not in found:
            found[ancestor.id] = ancestor
            ancestor = by_id.get(ancestor.parent or "")
    return list(found.values())


def _with_sites(network: NetworkRecord) -> list[str]:
    """Return the operators of a network, each with where it was applied."""
    texts = []
    for operator in network.operators:
        site = operator.get("site")
        words = site.items() if isinstance(site, Mapping) else ()
        shown = ", ".join(
            f"{name} {quoted(round(value, 3) if isinstance(value, float) else value)}"
            for name, value in words
        )
        texts.append(f"{operator['operator']} ({shown})" if shown else operator["operator"])
    return texts


def _hypervolumes(run: Run) -> list[float]:
    """Return the hypervolume at up to MAX_POINTS numbers of trained networks."""
    if len(run.objectives) > MAX_OBJECTIVES:
        return []
    values = run.hypervolumes()
    step = max(1, -(-len(values) // MAX_POINTS))
    return [_short(float(value)) for value in [*values[:-1:step], *values[-1:]]]


def _settings(run: Run) -> dict[str, str]:
    config = run.config
    versions = {f"version of {name}": text for name, text in config.versions.items()}
    images = ", ".join(f"{number:,} {part}" for part, number in config.images.num_images.items())
    values = {
        **config.settings,
        "images": images,
        "reference_point": config.reference_point,
        "version of lemonade_tf": config.lemonade_tf,
        **versions,
    }
    return {name: quoted(_shown(value)) for name, value in values.items()}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={each}" for name, each in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
