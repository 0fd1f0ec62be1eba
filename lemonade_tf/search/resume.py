"""Resume the run in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.evolution import Individual
from lemonade_tf.objectives.lookup import run_limits, run_objectives
from lemonade_tf.runs.checked_values import check_values
from lemonade_tf.runs.recorded_history import RecordedHistory, read_recorded_history
from lemonade_tf.runs.same_images import check_same_images
from lemonade_tf.search.extra_datasets import extra_datasets
from lemonade_tf.search.initial_networks import recorded_initial_networks
from lemonade_tf.search.rebuild import rebuild_individuals, rebuild_pending
from lemonade_tf.search.replay import read_recorded_order
from lemonade_tf.search.setup import Setup
from lemonade_tf.search.versions import warn_of_other_versions
from lemonade_tf.store import RunConfig, RunStore


def resume_run(
    config: SearchConfig,
    store: RunStore,
    dataset: Dataset,
    extra: Mapping[str, Dataset] | None = None,
) -> Setup:
    """Resume the run in a folder, and lock the folder.

    Args:
        config: Its settings; see `resumed_config`.
        store: Its folder.
        dataset: The first data set.
        extra: The data sets after the first, by name.

    Raises:
        ConfigError: If the run cannot be resumed, or is longer than `num_generations`, or if the
            run that it replays has changed.
        StoreError: If another process writes to the folder, a file is damaged, or the images
            differ from those that the search started with.
    """
    recorded = store.read_config()
    if not recorded.resumable:
        raise ConfigError(
            f"--resume: {store.path} is a random search, which cannot be resumed; choose another"
            " --workdir."
        )
    check_same_images(store.path, dataset, recorded.images)
    for name, data in (extra or {}).items():
        check_same_images(store.path, data, recorded.extra_datasets[name])
    store.lock()
    try:
        store.models.clear_staging()
        setup = _recorded_setup(config, store, dataset, extra or {}, recorded)
        _check_num_generations(config.num_generations, setup.history, store)
        warn_of_other_versions(recorded.versions)
        store.write_config(replace(recorded, settings=config.as_json()))
    except BaseException:
        store.release()
        raise
    return setup


def _recorded_setup(
    config: SearchConfig,
    store: RunStore,
    dataset: Dataset,
    extra: Mapping[str, Dataset],
    recorded: RunConfig,
) -> Setup:
    """Return the setup of a recorded run."""
    limits = run_limits(recorded.settings, recorded.prepared)
    objectives = run_objectives(recorded.settings, recorded.prepared)
    start = recorded_initial_networks(config, store, dataset, limits)
    history = read_recorded_history(store, len(start.graphs), recorded.slots_per_generation)
    check_values(store, history.networks.values(), objectives, recorded.reference_point)
    individuals = rebuild_individuals(history, start.graphs, objectives, store)
    pending: Mapping[str, Individual] = {}
    if recorded.slots_per_generation is not None:
        pending = rebuild_pending(history, individuals, objectives, store)
    order = None
    if config.replay is not None:
        order = read_recorded_order(config.replay)
        order.check_resumed(list(history.networks), config.num_generations)
    return Setup(
        config=config,
        store=store,
        dataset=dataset,
        space=start.space,
        objectives=objectives,
        limits=limits,
        initial=start.graphs,
        warm_start=start.warm_start,
        reference_point=recorded.reference_point,
        history=history,
        recorded=individuals,
        extra_datasets=extra_datasets(extra),
        pending=pending,
        order=order,
    )


def _check_num_generations(num_generations: int, history: RecordedHistory, store: RunStore) -> None:
    """Check that the recorded part of a search is not longer than the settings.

    Raises:
        ConfigError: If it is.
    """
    finished, started = history.start_generation - 1, max(history.proposals, default=0)
    if num_generations < finished:
        raise ConfigError(
            f"--num_generations is {num_generations}; the search in {store.path} has already"
            f" finished {finished}. Choose at least {finished}."
        )
    if num_generations < started:
        raise ConfigError(
            f"--num_generations is {num_generations}; the search in {store.path} is in generation"
            f" {started}. Choose at least {started}."
        )
