"""What a worker does for objectives that come from outside: measure them, and prepare them.

Their functions are found by name in the worker's process, where they may load what the driver does
not have; see `objectives.named`. Keras is loaded when a network is measured, and not before.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.text import from_json
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.objectives import (
    ObjectiveError,
    PrepareContext,
    TrainedNetwork,
    describe_exception,
    find_objective,
)
from lemonade_tf.workers.tasks import ObjectiveTask


def measured(names: Iterable[str], trained: TrainedNetwork) -> dict[str, float]:
    """Return expensive objectives of a trained network, by what they are called.

    Args:
        names: As in the settings, such as "top5_error" or "MODULE:NAME".
        trained: The network.

    Raises:
        ObjectiveError: One cannot be found, raised an exception, or gave no number.
    """
    found = map(find_objective, names)
    return {objective.name: objective.measured(trained) for objective in found}


def measure_on(
    dataset: Dataset, names: Iterable[str], graph: Graph, probabilities: np.ndarray
) -> dict[str, float]:
    """Return expensive objectives of a network, by what they are called.

    Args:
        dataset: The images that it is for.
        names: As in the settings.
        graph: The network, with its weights.
        probabilities: What it says of the validation images, (n, classes).

    Raises:
        ObjectiveError: One cannot be found, raised an exception, or gave no number.
    """
    from lemonade_tf.keras_bridge import to_keras

    with ExitStack() as until_measured:
        trained = TrainedNetwork(
            graph,
            dataset.x_validation,
            dataset.y_validation,
            probabilities,
            make_model=lambda: to_keras(graph),
            make_file=lambda: _saved(graph, until_measured),
            training_images=dataset.x_train,
        )
        return measured(names, trained)


def _saved(graph: Graph, until: ExitStack) -> Path:
    """Write a network to a temporary file, and return its path.

    Raises:
        ObjectiveError: It cannot be written; an OSError would be taken for one of the run folder.
    """
    from lemonade_tf.keras_bridge.saving import save_model

    try:
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        path = Path(until.enter_context(folder)) / "network.h5"
        save_model(graph, path, {})
    except OSError as error:
        raise ObjectiveError(
            "the file of the network that objectives are to measure cannot be written to the"
            f" folder for temporary files, {tempfile.tempdir or 'none'}: {error.strerror or error};"
            " free some space there, or set the environment variable TMPDIR to another folder."
        ) from error
    return path


def prepare_objective(task: ObjectiveTask, dataset: Dataset) -> Any:
    """Return what an objective's `prepare` finds out, as plain JSON.

    Raises:
        ObjectiveError: It raised an exception, or what it found is not JSON.
    """
    objective = find_objective(task.name)
    beginning = PrepareContext(
        graphs=tuple(map(from_json, task.architectures)),
        images=dataset.x_train,
        num_classes=dataset.num_classes,
        space=task.space,
        threads=task.threads,
        seed=task.seed,
    )
    try:
        found = objective.prepare(beginning)
    except Exception as error:
        raise ObjectiveError(f"it raised {describe_exception(error)}.") from error
    try:
        return json.loads(json.dumps(found, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ObjectiveError(
            f"what it found is not JSON ({error}); expected numbers, texts, lists and dicts."
        ) from error
