"""Training networks from scratch on several machines, each with a part of every batch.

The chief carries out tasks as a single machine does. Before it trains a network, it sends the
others what the training depends on: the architecture, the seeds, the settings, and the state of
the checkpoint. They train along, and write nothing. So they need the data set, but neither the
files of the run nor its checkpoints.

If any machine stops, training stops on all of them. It resumes from the last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.regularization import Regularization
from lemonade_tf.architecture.text import from_json, to_json
from lemonade_tf.backends.current import current_backend
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.source import DatasetSource
from lemonade_tf.errors import LemonadeError
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.training.checkpoints import pack_state, unpack_state
from lemonade_tf.training.fit import TrainingDiverged, TrainingState
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.retraining import Retrainer
from lemonade_tf.workers.retraining_task import EndTask, FollowTask, RetrainResult, RetrainTask

ClusterTask = RetrainTask | FollowTask | EndTask


class ClusterError(LemonadeError):
    """The machines cannot go on training together."""


def setup_cluster_retraining(
    source: DatasetSource,
    settings: TrainingSettings,
    *,
    threads: int | None = None,
    strategy: str = "multi_worker",
    device_memory: float | None = None,
) -> Callable[[ClusterTask], RetrainResult | None]:
    """Set up this process like `setup_retraining`, together with those of the other machines.

    Waits until all of them are running.

    Args:
        source: As in `setup_retraining`.
        settings: As in `setup_retraining`.
        threads: As in `setup_retraining`.
        strategy: As in `setup_retraining`.
        device_memory: As in `setup_retraining`.
    """
    current_backend().set_up(threads, strategy)
    data, _ = source.load()
    return ClusterRetrainer(data, settings, device_memory=device_memory)


class ClusterRetrainer:
    """Trains networks together with the processes of other machines.

    Args:
        data: The images, the same on each machine.
        settings: The training settings, likewise.
        device_memory: See `Retrainer`.
    """

    def __init__(
        self, data: Dataset, settings: TrainingSettings, *, device_memory: float | None = None
    ) -> None:
        self._backend = current_backend()
        self._retrainer = Retrainer(
            data, settings, device_memory=device_memory, announce=self._announce
        )

    def __call__(self, task: ClusterTask) -> RetrainResult | None:
        """Carry out a task: the chief trains networks and ends; the others follow.

        Raises:
            ClusterError: If the machines cannot go on together; the process is of no use then.
        """
        try:
            if isinstance(task, FollowTask):
                return self._follow(task)
            if isinstance(task, EndTask):
                self._backend.broadcast(b"")
                return None
            result = self._retrainer(task)
        except Exception as error:
            if not self._backend.is_lost_machine(error):
                raise
            raise ClusterError(
                f"another machine of TF_CONFIG stopped or cannot be reached ({_reason(error)});"
                " rerun the command on all machines to resume from the last checkpoint."
            ) from error
        if result.failure is not None and not result.diverged:
            raise ClusterError(result.failure)  # the others are still training
        return result

    def _announce(self, task: RetrainTask, graph: Graph, state: TrainingState | None) -> None:
        """Send the other machines what a training depends on."""
        seeds = [_seed_as_json(seed) for seed in (task.weights_seed, task.training_seed)]
        parts = {"architecture": to_json(graph), "seeds": seeds, "settings": dict(task.settings)}
        self._backend.broadcast(json.dumps(parts).encode())
        self._backend.broadcast(b"" if state is None else pack_state(state))

    def _follow(self, task: FollowTask) -> None:
        """Train along with the chief until it ends.

        Raises:
            ClusterError: If the settings of the chief differ.
        """
        while content := self._backend.broadcast():
            parts, packed = json.loads(content), self._backend.broadcast()
            _check_same_settings(task.settings, parts["settings"])
            weights_seed, training_seed = map(_seed_from_json, parts["seeds"])
            rng = np.random.default_rng(weights_seed)
            graph = initial_weights(from_json(parts["architecture"]), rng=rng)
            state = unpack_state(packed, "the state that the chief sent")[0] if packed else None
            try:
                self._retrainer.fit(
                    graph,
                    np.random.default_rng(training_seed),
                    state,
                    regularization=Regularization.of(task.settings),
                )
            except TrainingDiverged:
                continue  # on all machines, by the same loss


def _reason(error: Exception) -> str:
    """Return the line of TensorFlow's message that says what happened."""
    message = str(error)
    return (message.partition("aborted by: ")[2] or message).strip().partition("\n")[0]


def _check_same_settings(own: Any, of_chief: Any) -> None:
    differing = [
        f"--{name} is {own.get(name)} here, {of_chief.get(name)} there"
        for name in {**own, **of_chief}
        if own.get(name) != of_chief.get(name)
    ]
    if differing:
        raise ClusterError(
            f"the settings differ from those of the chief: {'; '.join(differing)}. Run the same"
            " command on all machines."
        )


def _seed_as_json(seed: np.random.SeedSequence) -> dict[str, Any]:
    return {"entropy": seed.entropy, "spawn_key": list(seed.spawn_key)}


def _seed_from_json(parts: dict[str, Any]) -> np.random.SeedSequence:
    return np.random.SeedSequence(parts["entropy"], spawn_key=tuple(parts["spawn_key"]))
