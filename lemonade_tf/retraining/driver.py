"""Train the networks of a run's front from scratch: the paper's final evaluation (A.4.4).

What a search reports is the error after some epochs with inherited weights. The error to compare
with others' is that of the architecture trained at length from new weights, on training and
validation images together.

Of a run with several data sets, networks are retrained on the first.

The same command goes on after whatever ended it (see `folder`). As in a search, the driver
never loads Keras.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.config import ConfigError
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.datasets.names import parse_datasets
from lemonade_tf.executors import Outcome, ProcessExecutor
from lemonade_tf.executors.devices import default_num_workers
from lemonade_tf.retraining.folder import RetrainedFolder, RetrainError
from lemonade_tf.retraining.retrain_config import RetrainConfig
from lemonade_tf.runs import Run, read_run
from lemonade_tf.runs.same_images import check_same_images
from lemonade_tf.store import NetworkRecord, RetrainedRecord
from lemonade_tf.training.augmentation import augmentation_for
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.retraining_task import RetrainResult, RetrainTask
from lemonade_tf.workers.setup import RETRAINING_WORKER, WorkerSetup

_AUGMENTATION = ("pad", "flip", "cutout", "mixup")


@dataclass(frozen=True)
class Retrained:
    """What came of it.

    Attributes:
        folder: Where the files are.
        rows: A mapping for each network that is finished, from the fewest parameters on, with the
            columns of retrained.csv.
        failures: Why the others are not, by id.
    """

    folder: Path
    rows: Sequence[Mapping[str, Any]]
    failures: Mapping[str, str]


def retrain(
    workdir: str | os.PathLike[str],
    ids: Sequence[str] = (),
    config: RetrainConfig | None = None,
    *,
    on_network_end: Callable[[RetrainedRecord], None] | None = None,
    interval: float = 60.0,
) -> Retrained:
    """Train networks of a run's front from scratch; what `lemonade-tf retrain` does.

    Networks that are finished are not trained again, and a training that was ended goes on from
    its last checkpoint; on a CPU, to the same weights.

    Args:
        workdir: The folder of the run.
        ids: Which networks of the front; by default all.
        config: The settings; by default the paper's.
        on_network_end: Called with each new record of retrained.jsonl.
        interval: Seconds between two checkpoints of a training.

    Raises:
        ConfigError: There is no network of that id on the front.
        StoreError: The folder holds no run, or one that is damaged; or the data set is not the one
            that the search began with.
        RetrainError: The run has no front, a file of it is missing, its data set cannot be read,
            what is there was begun with other settings, or another process is at it.
    """
    config = RetrainConfig() if config is None else config
    run = read_run(workdir)
    chosen = {record.id: record for record in _chosen(run, ids)}
    training, settings = _settings(run, config)
    cheap = [o.name for o in run.objectives if o.cheap]
    failures: dict[str, str] = {}
    with RetrainedFolder(run.store.path) as folder:
        folder.begin(settings, options=config.names())
        finished = folder.finished()
        # The largest first, as they take the longest.
        pending = [id_ for id_ in reversed(chosen) if id_ not in finished]
        tasks = [_task(run, folder, id_, settings, interval) for id_ in pending]
        for outcome in _train(run, tasks, config, training, folder.path / "logs"):
            record = _record(chosen[outcome.task.id], outcome, settings)
            folder.add(record)
            folder.write_table(cheap)
            if record.failure is not None:
                failures[record.id] = record.failure
            if on_network_end is not None:
                on_network_end(record)
        rows = folder.write_table(cheap)
    return Retrained(folder.path, [row for row in rows if row["id"] in chosen], failures)


# --- What is asked for -----------------------------------------------------------------------


def _chosen(run: Run, ids: Sequence[str]) -> list[NetworkRecord]:
    """Return the records of the networks to train, from the fewest parameters on."""
    front = {record.id: record for record in run.front()}
    if not front:
        raise RetrainError(f"{run.store.path} has no front: no network of it has been trained.")
    unknown = [id_ for id_ in ids if id_ not in front]
    if unknown:
        raise ConfigError(
            f"there is no network {', '.join(unknown)} on the front of {run.store.path};"
            f" known are {', '.join(front)}."
        )
    chosen = [record for id_, record in front.items() if not ids or id_ in ids]
    for record in chosen:
        path = run.store.models.path(record.id)
        if not path.is_file():
            raise RetrainError(
                f"{path} is missing; restore it, or name the networks to retrain without"
                f" {record.id}."
            )
    return chosen


def _settings(run: Run, config: RetrainConfig) -> tuple[TrainingSettings, dict[str, Any]]:
    """Return how to train, and all that the weights depend on beside the architecture."""
    data = _data(run)
    training = replace(
        config.training, **{name: run.config.settings[name] for name in _AUGMENTATION}
    )
    try:
        augmentation_for(data, training)
    except ValueError as error:
        raise RetrainError(f"the augmentation of {run.store.path} does not fit: {error}") from error
    settings = {
        **replace(config, training=training).as_json(),
        "threads": run.config.settings["threads"],
        "dataset": _first(run),
        "images": data.digest()[:16],
    }
    del settings["workers"]  # no weight depends on it
    return training, settings


def _first(run: Run) -> str:
    """Return the data set of the run, of several the first."""
    return parse_datasets(run.config.dataset)[0]


def _data(run: Run) -> Dataset:
    """Return the data set of the run."""
    name = _first(run)
    try:
        data = load_dataset(name, run.config.settings["data_dir"])
    except DatasetError as error:
        raise RetrainError(
            f"the data set of {run.store.path} cannot be read: {error} Its path starts from the"
            " folder in which the search was started."
        ) from error
    check_same_images(run.store.path, data, run.config.images)
    return data


# --- The training ----------------------------------------------------------------------------


def _train(
    run: Run,
    tasks: Sequence[RetrainTask],
    config: RetrainConfig,
    training: TrainingSettings,
    log_dir: Path,
) -> Iterator[Outcome]:
    """Train networks in worker processes."""
    if not tasks:
        return
    threads = run.config.settings["threads"]
    data_dir = run.config.settings["data_dir"]
    worker = WorkerSetup(RETRAINING_WORKER, _first(run), data_dir, training, threads)
    with ProcessExecutor(
        worker,
        num_workers=min(len(tasks), config.workers or default_num_workers(threads)),
        threads=threads,
        preload=worker.preload,
        log_dir=log_dir,
    ) as executor:
        yield from executor.run(tasks)


def _task(
    run: Run, folder: RetrainedFolder, id_: str, settings: Mapping[str, Any], interval: float
) -> RetrainTask:
    # The seeds are those of the network, whichever others are trained.
    seeds = np.random.SeedSequence(settings["seed"], spawn_key=tuple(id_.encode())).spawn(2)
    return RetrainTask(
        id=id_,
        source=str(run.store.models.path(id_)),
        output=str(folder.model_path(id_)),
        checkpoint=str(folder.checkpoint_path(id_)),
        interval=interval,
        weights_seed=seeds[0],
        training_seed=seeds[1],
        settings=settings,
    )


def _record(
    network: NetworkRecord, outcome: Outcome, settings: Mapping[str, Any]
) -> RetrainedRecord:
    """Return the record of a network that was trained from scratch, or failed."""
    result = outcome.result or RetrainResult(network.id, failure=outcome.failure)
    return RetrainedRecord(
        id=network.id,
        objectives={k: v for k, v in network.objectives.items() if k != "error"},
        search_error=network.error,
        search_test_error=network.test_error,
        test_error=result.test_error,
        losses=list(result.losses),
        resumed_at_epoch=result.resumed_at,
        seconds=result.seconds or outcome.seconds,
        note=result.remark,
        failure=result.failure,
        settings=settings,
    )
