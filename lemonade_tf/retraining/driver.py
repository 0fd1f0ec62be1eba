"""Train networks of a run from scratch: the paper's final evaluation (A.4.4).

A search reports the error after a few epochs with inherited weights. To compare with other methods,
the architecture is trained at length from new weights, on training and validation images together.
If the run has several data sets, networks are trained on the first.

Interrupted, the same command continues (see `folder`). Like the driver of a search, this process
never loads Keras.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.loading import reading_text
from lemonade_tf.datasets.source import DatasetSource, SharedDatasets
from lemonade_tf.datasets.splits import with_validation_images
from lemonade_tf.executors import Outcome
from lemonade_tf.retraining.chosen import ChosenNetwork, choose
from lemonade_tf.retraining.cluster import read_cluster
from lemonade_tf.retraining.first_dataset import checked_dataset
from lemonade_tf.retraining.folder import FOLDER, RetrainedFolder, RetrainError
from lemonade_tf.retraining.recipes import AUGMENTATION, OF_THE_SEARCH
from lemonade_tf.retraining.retrain_config import RetrainConfig
from lemonade_tf.runs import Run, read_run
from lemonade_tf.search.lineage import rebuild_networks
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


@dataclass(frozen=True)
class Retrained:
    """The result of training networks from scratch.

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


def retrain(
    workdir: str | os.PathLike[str],
    ids: Sequence[str] = (),
    config: RetrainConfig | None = None,
    *,
    generation: int | None = None,
    on_network_end: Callable[[RetrainedRecord], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
    interval: float = 60.0,
) -> Retrained:
    """Train networks of a run from scratch, like `lemonade-tf retrain`.

    Finished networks are not trained again. An interrupted training resumes from its last
    checkpoint; on a CPU, the weights are the same as without the interruption.

    Args:
        workdir: The run folder.
        ids: The networks to train: any that the search trained, and files of augmented networks.
            By default, those of the front.
        config: The settings; the paper's by default.
        generation: Trains the front after this generation instead of the final one.
        on_network_end: Called with each new record of retrained.jsonl.
        on_stage: Called before work that takes a while, with a sentence that describes it.
        interval: Seconds between two checkpoints of a training.

    Raises:
        ConfigError: If there is no such network or generation.
        StoreError: If the folder holds no run or a damaged one, its images have changed, or another
            process uses the folder of retrained networks.
        RetrainError: If the run has no front, a file is not that of an augmented network, the data
            set cannot be read, or networks were trained with different settings before.
    """
    config = RetrainConfig() if config is None else config
    run = read_run(os.fspath(workdir))
    cluster = read_cluster() if config.strategy == "multi_worker" else None
    follows = cluster is not None and not cluster.is_chief
    chosen = {} if follows else choose(run, ids, generation)
    announce = (lambda stage: None) if on_stage is None else on_stage
    with ArrayFiles(config.cache_dir) as files:
        announce(reading_text(run.dataset))
        dataset = checked_dataset(run, files)
        missing = [id_ for id_, network in chosen.items() if network.source is None]
        for id_, graph in rebuild_networks(run, missing, dataset).items() if missing else ():
            chosen[id_] = chosen[id_].rebuilt(graph)
        source = SharedDatasets.of(with_validation_images(dataset, files.allocate))
        if cluster is not None and follows:
            _follow(run, config, source)
            return Retrained(run.store.path / FOLDER, (), {}, chief=cluster.addresses[0])
        return _retrain(run, chosen, config, source, on_network_end, announce, interval)


def _retrain(
    run: Run,
    chosen: dict[str, ChosenNetwork],
    config: RetrainConfig,
    source: DatasetSource,
    on_network_end: Callable[[RetrainedRecord], None] | None,
    announce: Callable[[str], None],
    interval: float,
) -> Retrained:
    """Train the chosen networks that are not finished; see `retrain`."""
    training, settings = _all_settings(run, config)
    cheap = [objective.name for objective in run.objectives if objective.cheap]
    failures: dict[str, str] = {}
    with RetrainedFolder(run.store.path, settings, options=config.names()) as folder:
        finished = folder.finished()
        # The largest networks take the longest, so they start first.
        pending = [id_ for id_ in reversed(chosen) if id_ not in finished]
        tasks = [_task(folder, chosen[id_], settings, interval) for id_ in pending]
        if pending:
            announce(
                f"Training {len(pending)} of {len(chosen)} networks for {training.epochs} epochs"
                " each; the largest first."
            )
        for outcome in _train(run, tasks, config, training, source, folder.path / "logs"):
            record = _record(chosen[outcome.task.id], outcome, settings)
            folder.add(record)
            folder.write_table(cheap)
            if record.failure is not None:
                failures[record.id] = record.failure
            if on_network_end is not None:
                on_network_end(record)
        rows = folder.write_table(cheap)
    return Retrained(folder.path, [row for row in rows if row["id"] in chosen], failures)


# --- Set-up ----------------------------------------------------------------------------------


def _all_settings(run: Run, config: RetrainConfig) -> tuple[TrainingSettings, dict[str, Any]]:
    """Return the training settings, and all settings on which results depend, as JSON values."""
    training = config.training
    if config.recipe in OF_THE_SEARCH:
        training = replace(training, **{each: run.config.settings[each] for each in AUGMENTATION})
    settings = {
        **replace(config, training=training).as_json(),
        "threads": run.config.settings["threads"],
        "dataset": run.dataset,
        "images": run.config.images.sha256[:16],
    }
    resources = (
        "workers",
        "device_memory",
        "cache_dir",
        "executor",
        "ray_address",
        "gpus_per_child",
    )
    for name in resources:
        del settings[name]  # results do not depend on it
    return training, settings


# --- Training --------------------------------------------------------------------------------


def _train(
    run: Run,
    tasks: Sequence[RetrainTask],
    config: RetrainConfig,
    training: TrainingSettings,
    source: DatasetSource,
    log_dir: Path,
) -> Iterator[Outcome]:
    """Train networks in worker processes."""
    several_machines = config.strategy == "multi_worker"
    if not (tasks or several_machines):
        return
    setup, number = _worker_setup(run, config, training, source), len(tasks)
    with make_executor(setup, config, max_num_workers=number, log_dir=log_dir) as executor:
        for outcome in executor.run([*tasks, EndTask()] if several_machines else tasks):
            if isinstance(outcome.task, EndTask):
                return  # even if the other machines are gone: all networks are trained
            if several_machines and outcome.failure is not None:
                failure = outcome.failure.removeprefix(_CLUSTER_ERROR)
                yield replace(outcome, failure=failure)
                return  # the machines cannot go on together
            yield outcome


def _follow(run: Run, config: RetrainConfig, source: DatasetSource) -> None:
    """Train along with the chief of a cluster of machines.

    Raises:
        RetrainError: If the machines cannot go on together.
    """
    training, settings = _all_settings(run, config)
    with make_executor(_worker_setup(run, config, training, source), config) as executor:
        for outcome in executor.run([FollowTask(settings)]):
            if outcome.failure is not None:
                raise RetrainError(outcome.failure.removeprefix(_CLUSTER_ERROR))


def _worker_setup(
    run: Run, config: RetrainConfig, training: TrainingSettings, source: DatasetSource
) -> WorkerSetup:
    return WorkerSetup(
        CLUSTER_RETRAINING_WORKER if config.strategy == "multi_worker" else RETRAINING_WORKER,
        source,
        training,
        run.config.settings["threads"],
        config.strategy,
        config.device_memory,
    )


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
    """Return the record of a network that was trained from scratch, or failed."""
    result = outcome.result or RetrainResult(network.id, failure=outcome.failure)
    return RetrainedRecord(
        id=network.id,
        objectives=network.objectives,
        search_error=network.search_error,
        search_test_error=network.search_test_error,
        test_error=result.test_error,
        losses=list(result.losses),
        resumed_at_epoch=result.resumed_at,
        seconds=result.seconds or outcome.seconds,
        note=result.remark,
        failure=result.failure,
        settings=settings,
    )
