"""Measuring and preparing expensive objectives in a worker.

The functions of custom objectives are looked up by name in the worker process, where they may
import packages that the driver does not have; see `objectives.lookup`. Keras is loaded when the
first network is measured.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.text import from_json
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.latency import measuring
from lemonade_tf.latency.runtime import Runtime
from lemonade_tf.latency.table import LatencyTable
from lemonade_tf.objectives.lookup import find_objective
from lemonade_tf.objectives.objective import ObjectiveError, describe_exception
from lemonade_tf.objectives.prepare_context import PrepareContext
from lemonade_tf.objectives.trained_network import TrainedNetwork
from lemonade_tf.safe_json import read_json
from lemonade_tf.search_spaces import CELLS, NETWORKS
from lemonade_tf.workers.progress_file import ProgressFile
from lemonade_tf.workers.tasks import ObjectiveTask

_MIN_SHARE = 0.1  # of the measurements, from which the time of all is estimated


def measure_objectives(names: Iterable[str], trained: TrainedNetwork) -> dict[str, float]:
    """Measure expensive objectives of a trained network, and return them by their display names.

    Args:
        names: Names in the settings, such as "top5_error" or "MODULE:NAME".
        trained: The network.

    Raises:
        ObjectiveError: If an objective is not found, raises an exception, or returns no number.
    """
    found = map(find_objective, names)
    return {objective.name: objective.measured(trained) for objective in found}


def measure_on(
    dataset: Dataset, names: Iterable[str], graph: Graph, probabilities: np.ndarray
) -> dict[str, float]:
    """Measure expensive objectives of a graph on a data set; see `measure_objectives`.

    Args:
        dataset: The data set of the network.
        names: Names in the settings.
        graph: The network with its weights.
        probabilities: (n, classes), its outputs for the validation images.

    Raises:
        ObjectiveError: As in `measure_objectives`.
    """
    from lemonade_tf.backends.current import current_backend
    from lemonade_tf.keras_bridge import to_keras

    with ExitStack() as until_measured:
        trained = TrainedNetwork(
            graph,
            dataset.x_validation,
            dataset.y_validation,
            probabilities,
            make_model=lambda: to_keras(graph),
            make_file=lambda: _write_temporary(graph, until_measured),
            training_images=dataset.x_train,
            backend=current_backend(),
        )
        return measure_objectives(names, trained)


def _write_temporary(graph: Graph, until_measured: ExitStack) -> Path:
    """Write a network to a temporary file, and return its path.

    Raises:
        ObjectiveError: If it cannot be written. (An OSError would be attributed to the run folder.)
    """
    from lemonade_tf.keras_bridge.saving import save_model

    try:
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        path = Path(until_measured.enter_context(folder)) / "network.h5"
        save_model(graph, path, {})
    except OSError as error:
        raise ObjectiveError(
            f"the temporary folder {tempfile.tempdir or '(none)'} cannot hold the file of a network"
            f" for objectives to measure: {error.strerror or error}; free some space there, or set"
            " the environment variable TMPDIR to another folder."
        ) from error
    return path


class _TooSlowError(LemonadeError):
    """Measurements take longer than the budget of the search."""


def _watch(task: ObjectiveTask) -> Callable[[int, int], None]:
    """Return what is called after each measurement: it tells the search, and keeps to the budget.

    The first measurements take longer than the later ones, which need not build their network; so
    the budget counts twice until it is over.
    """
    write = None if task.progress_file is None else ProgressFile(Path(task.progress_file)).write
    started, budget = time.monotonic(), task.max_seconds

    def watch(done: int, total: int) -> None:
        if write is not None:
            write(done, total)
        seconds = time.monotonic() - started
        expected = seconds * total / done if done >= _MIN_SHARE * total else 0.0
        if budget is None or (seconds <= budget and expected <= 2 * budget):
            return
        raise _TooSlowError(
            f"{done} of {total} measurements took {seconds:.0f} s, and the budget of the search"
            f" left {max(0.0, budget):.0f} s for all of them; expected an idle"
            " machine, a larger budget, or --latency_table with an earlier run on this machine."
        )

    return watch


def prepare_objective(task: ObjectiveTask, dataset: Dataset) -> Any:
    """Prepare an objective, and return the result as plain JSON values.

    Raises:
        ObjectiveError: If it raises an exception, or its result is not JSON.
    """
    objective = find_objective(task.name)
    if objective.prepare is None:
        raise ObjectiveError(f"{task.name} has no `prepare`; expected an objective with one.")
    graphs = tuple(map(from_json, task.architectures))
    [space] = [space for space in (NETWORKS, CELLS) if space.name == task.space]
    on_progress = _watch(task)

    def measure_table(runtime: Runtime) -> LatencyTable:
        return measuring.measure_table(
            runtime,
            graphs,
            space.including(graphs).propose,  # imported networks may be outside of it
            num_classes=dataset.num_classes,
            threads=task.threads,
            rng=np.random.default_rng(0),  # a fixed seed: other searches may reuse the table
            on_progress=on_progress,
        )

    context = PrepareContext(
        graphs=graphs,
        images=dataset.x_train,
        num_classes=dataset.num_classes,
        space=task.space,
        threads=task.threads,
        seed=task.seed,
        measure_table=measure_table,
    )
    try:
        prepared = objective.prepare(context)
    except _TooSlowError as error:
        raise ObjectiveError(str(error)) from None
    except (Exception, SystemExit) as error:  # it may call code that exits
        raise ObjectiveError(f"it raised {describe_exception(error)}.") from error
    try:
        return read_json(json.dumps(prepared, allow_nan=False))  # as whoever reads config.json
    except (TypeError, ValueError, RecursionError) as error:
        raise ObjectiveError(
            f"its result is not JSON ({quoted(error)}); expected numbers, strings, lists and dicts."
        ) from error
