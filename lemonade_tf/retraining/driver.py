"""Train networks of a run from scratch: the paper's final evaluation (A.4.4).

A search reports the error after a few epochs with inherited weights. To compare with other methods,
the architecture is trained at length from new weights, on training and validation images together.
If the run has several data sets, networks are trained on the first.

Interrupted, the same command continues (see `folder`). Like the driver of a search, this process
never loads Keras.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.loading import reading_text
from lemonade_tf.datasets.source import DatasetSource, SharedDatasets
from lemonade_tf.datasets.splits import with_validation_images
from lemonade_tf.retraining.chosen import choose
from lemonade_tf.retraining.cluster import read_cluster
from lemonade_tf.retraining.final_training import (
    FinalTraining,
    OnNetworkEnd,
    Retrained,
    follow,
    train_networks,
)
from lemonade_tf.retraining.first_dataset import cache_dir_of, checked_dataset
from lemonade_tf.retraining.folder import FOLDER
from lemonade_tf.retraining.recipes import AUGMENTATION, OF_THE_SEARCH
from lemonade_tf.retraining.retrain_config import RetrainConfig
from lemonade_tf.runs import Run, read_run
from lemonade_tf.search.lineage import rebuild_networks


def retrain(
    workdir: str | os.PathLike[str],
    ids: Sequence[str] = (),
    config: RetrainConfig | None = None,
    *,
    generation: int | None = None,
    on_network_end: OnNetworkEnd | None = None,
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
    cache_dir = cache_dir_of(run, config.cache_dir)
    with ArrayFiles(cache_dir) as files:
        announce(reading_text(run.dataset))
        dataset = checked_dataset(run, files, cache_dir)
        missing = [id_ for id_, network in chosen.items() if network.source is None]
        for id_, graph in rebuild_networks(run, missing, dataset).items() if missing else ():
            chosen[id_] = chosen[id_].rebuilt(graph)
        source = SharedDatasets.of(with_validation_images(dataset, files.allocate))
        training = _final_training(run, config, source)
        if cluster is not None and follows:
            follow(training)
            return Retrained(run.store.path / FOLDER, (), {}, chief=cluster.addresses[0])
        return train_networks(
            training,
            chosen,
            on_network_end=on_network_end,
            on_stage=announce,
            interval=interval,
        )


def _final_training(run: Run, config: RetrainConfig, source: DatasetSource) -> FinalTraining:
    training = config.training
    if config.recipe in OF_THE_SEARCH:
        settings = run.config.settings
        training = replace(
            training,
            **{each: settings[each] for each in AUGMENTATION},
            class_weights=settings.get("class_weights", training.class_weights),
        )
    return FinalTraining(
        path=run.store.path,
        config=config,
        training=training,
        source=source,
        threads=run.config.settings["threads"],
        facts={"dataset": run.dataset, "images": run.config.images.sha256[:16]},
        objectives=[objective.name for objective in run.objectives if objective.cheap],
    )
