"""Start a run in a new folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lemonade_tf import __version__
from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.names import dataset_stem, parse_datasets
from lemonade_tf.objectives.lookup import run_limits, run_objectives
from lemonade_tf.objectives.objective import ObjectiveError
from lemonade_tf.runs.quality import reference_point
from lemonade_tf.runs.same_images import describe_images
from lemonade_tf.search.extra_datasets import extra_datasets
from lemonade_tf.search.initial_models import initial_model_networks, remove_initial_models
from lemonade_tf.search.initial_networks import (
    initial_graphs,
    search_space,
    warm_start_networks,
    within_limits,
)
from lemonade_tf.search.preparation import RunTasks, prepare_objectives
from lemonade_tf.search.setup import Setup
from lemonade_tf.search.versions import versions
from lemonade_tf.store import RandomSearchRecord, RunConfig, RunStore, make_new_folder

if TYPE_CHECKING:
    from lemonade_tf.search.replay import RecordedOrder
    from lemonade_tf.search.warm_start import WarmStartNetwork

_logger = logging.getLogger(__name__)


def start_run(
    config: SearchConfig,
    dataset: Dataset,
    run_tasks: RunTasks | None = None,
    *,
    extra: Mapping[str, Dataset] | None = None,
    matched: RunConfig | None = None,
    random_search: RandomSearchRecord | None = None,
    order: RecordedOrder | None = None,
) -> Setup:
    """Start a run in a new folder.

    Args:
        config: The settings.
        dataset: The first data set.
        run_tasks: Carries out the tasks that prepare objectives; None if no objective may need it.
        extra: The data sets after the first, by name.
        matched: A run to compare with or to replay: its reference point and its prepared
            objectives are used.
        random_search: What a random search is matched to; it has no initial networks.
        order: The order of the run to replay.

    Raises:
        ConfigError: If `initial_run` or `latency_table` does not fit the search, an objective has
            no value for an initial network, or no network is within the limits.
        ObjectiveError: If an objective cannot be prepared.
        StoreError: If the folder already holds a run, or cannot be written.
    """
    if config.workdir is not None:  # before objectives are prepared, which may take a while
        RunStore.check_vacant(config.workdir)
    options = (run_tasks, extra or {}, matched, random_search, order)
    if not config.initial_models:
        return _start(config, dataset, warm_start_networks(config, dataset), *options)
    config = replace(config, workdir=str(_workdir(config)))
    workdir = Path(str(config.workdir))  # it holds the converted models
    warm_start = initial_model_networks(config.initial_models, dataset, workdir)
    try:
        return _start(config, dataset, warm_start, *options)
    except BaseException:
        if not RunStore.holds_run(workdir):
            remove_initial_models(workdir)
        raise


def _start(
    config: SearchConfig,
    dataset: Dataset,
    warm_start: Sequence[WarmStartNetwork],
    run_tasks: RunTasks | None,
    extra: Mapping[str, Dataset],
    matched: RunConfig | None,
    random_search: RandomSearchRecord | None,
    order: RecordedOrder | None,
) -> Setup:
    """Start a run whose warm start is known; see `start_run`."""
    space = search_space(config)
    initial = initial_graphs(space, dataset, warm_start)
    if config.initial_models:
        space = space.including(initial)
    prepared = (
        prepare_objectives(config, initial, run_tasks) if matched is None else matched.prepared
    )
    settings = config.as_json()
    objectives, limits = run_objectives(settings, prepared), run_limits(settings, prepared)
    extras = extra_datasets(extra)
    try:
        start = within_limits(space, limits, initial, warm_start)
        classes = {each.error: each.dataset.num_classes for each in extras}
        reference = reference_point(objectives, start.graphs, dataset.num_classes, classes)
    except ObjectiveError as error:
        raise ConfigError(f"--objectives: for an initial network, {error}") from error
    if matched is not None:
        reference = matched.reference_point
    if start.remark is not None:
        _logger.warning(start.remark)
    recorded = RunConfig(
        settings=settings,
        images=describe_images(dataset),
        num_initial=len(start.graphs) if random_search is None else 0,
        reference_point=reference,
        extra_datasets={each.name: describe_images(each.dataset) for each in extras},
        prepared=prepared,
        random_search=random_search,
        lemonade_tf=__version__,
        versions=versions(),
        backend="tensorflow",
    )
    workdir = Path(_workdir(config))
    store = RunStore.create(
        workdir, recorded, [each.as_record(workdir) for each in start.warm_start]
    )
    return Setup(
        config=config,
        store=store,
        dataset=dataset,
        space=start.space,
        objectives=objectives,
        limits=limits,
        initial=start.graphs,
        warm_start=start.warm_start,
        reference_point=reference,
        extra_datasets=extras,
        order=order,
    )


def default_workdir(dataset: str, root: str | Path = "runs") -> Path:
    """Return the first of runs/NAME-1, runs/NAME-2, ... that does not exist."""
    stem = "-".join(map(dataset_stem, parse_datasets(dataset))) or "run"
    number = 1
    while os.path.lexists(Path(root) / f"{stem}-{number}"):
        number += 1
    return Path(root) / f"{stem}-{number}"


def _workdir(config: SearchConfig) -> str | Path:
    """Return the folder of a new run; a default one is created, so that no other run takes it."""
    while config.workdir is None:
        workdir = default_workdir(config.dataset)
        if make_new_folder(workdir):
            return workdir
    return config.workdir
