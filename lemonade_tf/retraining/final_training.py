"""The training of some networks in a folder: one after the other, or in parallel, resumable.

This is what retraining the front of a run and moving it to other images have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.datasets.source import DatasetSource
from lemonade_tf.errors import quoted
from lemonade_tf.executors import Outcome
from lemonade_tf.retraining.chosen_network import ChosenNetwork
from lemonade_tf.retraining.folder import RetrainedFolder, RetrainError
from lemonade_tf.retraining.regularized import check_effects
from lemonade_tf.retraining.retrain_config import RetrainConfig
from lemonade_tf.store import RetrainedRecord
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.retraining_task import EndTask, FollowTask, RetrainResult, RetrainTask
from lemonade_tf.workers.worker_setup import (
    CLUSTER_RETRAINING_WORKER,
    RETRAINING_WORKER,
    WorkerSetup,
    make_executor,
)

_CLUSTER_ERROR = "ClusterError: "  # its message is for users
_RESOURCES = (  # results do not depend on these
    "workers",
    "device_memory",
    "cache_dir",
    "data_dir",
    "executor",
    "ray_address",
    "gpus_per_child",
)

OnNetworkEnd = Callable[[RetrainedRecord], None]


@dataclass(frozen=True)
class Retrained:
    """The result of training networks.

    Attributes:
        folder: The folder with their files.
        rows: One mapping per finished network, sorted by parameters, with the columns of
            retrained.csv as keys.
        failures: Why the other networks failed, by id.
        chief: HOST:PORT of the machine that has the results, if it is another one.
    """

    folder: Path
    rows: Sequence[Mapping[str, Any]]
    failures: Mapping[str, str]
    chief: str | None = None


@dataclass(frozen=True)
class FinalTraining:
    """What the training of all networks has in common.

    Attributes:
        path: The folder in which the folder of trained networks is.
        config: The settings; `training` may differ from those in it.
        training: How networks are trained.
        source: The images; those for validation are training images, too.
        threads: CPU threads per worker.
        facts: What results depend on besides the settings, as JSON values.
        objectives: The names of the cheap objectives in the table, which is sorted by the first.
    """

    path: Path
    config: RetrainConfig
    training: TrainingSettings
    source: DatasetSource
    threads: int
    facts: Mapping[str, Any]
    objectives: Sequence[str]

    @property
    def settings(self) -> dict[str, Any]:
        """All settings on which results depend, as JSON values."""
        of_config = replace(self.config, training=self.training).as_json()
        settings = {**of_config, "threads": self.threads, **self.facts}
        # Without regularization, the settings are those of versions that had none.
        regularization = self.config.regularization
        left_out = {*_RESOURCES, *vars(regularization)} - regularization.settings.keys()
        return {name: value for name, value in settings.items() if name not in left_out}

    def worker_setup(self) -> WorkerSetup:
        """Return how worker processes are set up."""
        on_several_machines = self.config.strategy == "multi_worker"
        return WorkerSetup(
            CLUSTER_RETRAINING_WORKER if on_several_machines else RETRAINING_WORKER,
            self.source,
            self.training,
            self.threads,
            self.config.strategy,
            self.config.device_memory,
        )


def train_networks(
    training: FinalTraining,
    networks: Mapping[str, ChosenNetwork],
    *,
    on_network_end: OnNetworkEnd | None = None,
    on_stage: Callable[[str], None],
    interval: float = 60.0,
) -> Retrained:
    """Train the networks that are not finished.

    Args:
        training: How, and on which images.
        networks: The networks by id, the largest last.
        on_network_end: Called with each new record.
        on_stage: Called before work that takes a while, with a sentence that describes it.
        interval: Seconds between two checkpoints of a training.

    Raises:
        ConfigError: If regularization has no effect on any network.
        FileError: If it depends on a network whose file cannot be read.
        RetrainError: If networks were trained in the folder with different settings, or other
            networks with the same ids.
        StoreError: If the folder is in use, or cannot be written.
    """
    check_effects(training.config.regularization, networks, on_stage)
    settings, failures = training.settings, {}
    options = training.config.names()
    with RetrainedFolder(training.path, settings, options=options) as folder:
        finished = folder.finished()
        for id_ in networks.keys() & finished.keys():
            _check_same_network(folder, networks[id_], finished[id_])
        # The largest networks take the longest, so they start first.
        pending = [id_ for id_ in reversed(list(networks)) if id_ not in finished]
        tasks = [_task(folder, networks[id_], settings, interval) for id_ in pending]
        if pending:
            on_stage(training_text(len(pending), len(networks), training.training.epochs))
        for outcome in _train(training, tasks, folder.path / "logs"):
            record = _record(networks[outcome.task.id], outcome, settings)
            folder.add(record)
            folder.write_table(training.objectives)
            if record.failure is not None:
                failures[record.id] = record.failure
            if on_network_end is not None:
                on_network_end(record)
        rows = folder.write_table(training.objectives)
    return Retrained(folder.path, [row for row in rows if row["id"] in networks], failures)


def _check_same_network(
    folder: RetrainedFolder, network: ChosenNetwork, record: RetrainedRecord
) -> None:
    """Check that a finished network is the chosen one: runs give the same ids to their networks."""
    if network.objectives == record.objectives and network.search_error == record.search_error:
        return
    raise RetrainError(
        f"{folder.path} has another network {network.id}, perhaps of another run: it has"
        f" {quoted(record.objectives)}, now {quoted(network.objectives)}. Use another folder, or"
        " remove this one to start over."
    )


def follow(training: FinalTraining) -> None:
    """Train along with the chief of a cluster of machines.

    Raises:
        RetrainError: If the machines cannot go on together.
    """
    with make_executor(training.worker_setup(), training.config) as executor:
        for outcome in executor.run([FollowTask(training.settings)]):
            if outcome.failure is not None:
                raise RetrainError(outcome.failure.removeprefix(_CLUSTER_ERROR))


def _train(
    training: FinalTraining, tasks: Sequence[RetrainTask], log_dir: Path
) -> Iterator[Outcome]:
    """Train networks in worker processes."""
    several_machines = training.config.strategy == "multi_worker"
    if not (tasks or several_machines):
        return
    setup, config, number = training.worker_setup(), training.config, len(tasks)
    with make_executor(setup, config, max_num_workers=number, log_dir=log_dir) as executor:
        for outcome in executor.run([*tasks, EndTask()] if several_machines else tasks):
            if isinstance(outcome.task, EndTask):
                return  # even if the other machines are gone: all networks are trained
            if several_machines and outcome.failure is not None:
                failure = outcome.failure.removeprefix(_CLUSTER_ERROR)
                yield replace(outcome, failure=failure)
                return  # the machines cannot go on together
            yield outcome


def training_text(num_pending: int, num_networks: int, num_epochs: int) -> str:
    """Return a sentence that says how many of the networks are trained, and for how long."""
    networks = f"{num_networks} network{'s' * (num_networks > 1)}"
    epochs = f"{num_epochs} epoch{'s' * (num_epochs > 1)}"
    return f"Training {num_pending} of {networks} for {epochs} each; the largest first."


def _task(
    folder: RetrainedFolder, network: ChosenNetwork, settings: Mapping[str, Any], interval: float
) -> RetrainTask:
    # The seeds depend on the id alone, not on which other networks are trained.
    weights, training = np.random.SeedSequence(
        settings["seed"], spawn_key=tuple(network.id.encode())
    ).spawn(2)
    return RetrainTask(
        id=network.id,
        source=network.source,
        output=str(folder.model_path(network.id)),
        checkpoint=str(folder.checkpoint_path(network.id)),
        interval=interval,
        weights_seed=weights,
        training_seed=training,
        settings=settings,
        architecture=network.architecture,
        record=network.record,
    )


def _record(
    network: ChosenNetwork, outcome: Outcome, settings: Mapping[str, Any]
) -> RetrainedRecord:
    """Return the record of a network that was trained, or failed."""
    result = outcome.result or RetrainResult(network.id, failure=outcome.failure)
    return RetrainedRecord(
        id=network.id,
        objectives=network.objectives,
        search_error=network.search_error,
        search_test_error=network.search_test_error,
        test_error=result.test_error,
        test_top5_error=result.test_top5_error,
        losses=list(result.losses),
        resumed_at_epoch=result.resumed_at,
        seconds=result.seconds or outcome.seconds,
        note=result.remark,
        failure=result.failure,
        settings=settings,
    )
