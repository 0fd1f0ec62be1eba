"""What a search begins with, or goes on from: its folder, its settings, its initial networks."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lemonade_tf import __version__
from lemonade_tf.architecture import Graph
from lemonade_tf.config import ConfigError, SearchConfig, default_workdir
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.objectives.limits import Limit
from lemonade_tf.objectives.lookup import run_limits, run_objectives
from lemonade_tf.objectives.objective import Objective, ObjectiveError
from lemonade_tf.runs.quality import reference_point
from lemonade_tf.runs.recorded_history import RecordedHistory, read_recorded_history
from lemonade_tf.runs.same_images import check_same_images, describe_images
from lemonade_tf.search.extra_datasets import FurtherData, further_data
from lemonade_tf.search.preparation import (
    CarryOut,
    prepared_objectives,
    warn_of_networks_left_out,
    within,
)
from lemonade_tf.search.warm_start import WarmStartNetwork, origins
from lemonade_tf.search_spaces import CELLS, NETWORKS, SearchSpace
from lemonade_tf.store import (
    RandomSearchRecord,
    RunConfig,
    RunStore,
    StoreError,
    make_new_folder,
)

_VERSIONED = ("keras", "tensorflow", "numpy", "scikit-learn")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setup:
    """What a search begins with, or goes on from.

    Attributes:
        config: The settings.
        store: The folder, locked.
        space: The search space.
        objectives: What is minimised.
        limits: What no network may exceed.
        initial: The initial networks; only their shapes are used.
        origins: Where the initial networks come from, if they are those of a former run's front.
        reference: The reference point of the hypervolume.
        past: What the search has done so far.
        further: The data sets after the first.
    """

    config: SearchConfig
    store: RunStore
    space: SearchSpace
    objectives: Sequence[Objective]
    limits: Sequence[Limit]
    initial: Sequence[Graph]
    origins: Sequence[WarmStartNetwork]
    reference: Mapping[str, float]
    past: RecordedHistory
    further: Sequence[FurtherData] = ()


def space_of(config: SearchConfig) -> SearchSpace:
    """Return the search space of a search."""
    if config.space == CELLS.name:
        return replace(CELLS, filters=config.filters, cells_per_block=config.cells_per_block)
    return NETWORKS


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed under these names."""
    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def begin(
    config: SearchConfig,
    dataset: Dataset,
    carry_out: CarryOut | None = None,
    *,
    further: Mapping[str, Dataset] | None = None,
    matched: RunConfig | None = None,
    random_search: RandomSearchRecord | None = None,
) -> Setup:
    """Begin a search in a new folder.

    Args:
        config: The settings.
        dataset: The images, of the first data set.
        carry_out: Has a worker prepare objectives, if there are any that want it.
        further: The other data sets, by what they are called.
        matched: Another run to compare with, whose reference point and whose preparation of
            objectives are used.
        random_search: What a random search is matched to; it has no initial networks.

    Raises:
        ConfigError: The search cannot begin with `initial_run` or use `latency_table`, or an
            objective has no value for an initial network, or none of them is within the limits.
        ObjectiveError: An objective cannot be prepared.
        StoreError: The folder holds a run, or cannot be written.
    """
    if config.workdir is not None:  # before objectives are prepared, which may take a while
        RunStore.check_vacant(config.workdir)
    space = space_of(config)
    found = _origins(config, dataset)
    initial = _initial(space, dataset, found)
    if matched is None:
        prepared = prepared_objectives(config, initial, carry_out)
    else:
        prepared = matched.prepared
    settings = config.as_json()
    objectives, limits = run_objectives(settings, prepared), run_limits(settings, prepared)
    others = further_data(further or {})
    try:
        kept = within(limits, initial)
        classes = {other.error: other.dataset.num_classes for other in others}
        reference = reference_point(objectives, kept(initial), dataset.num_classes, classes)
        if matched is not None:
            reference = matched.reference_point
    except ObjectiveError as error:
        raise ConfigError(f"--objectives: {error} (asked of the initial networks)") from error
    warn_of_networks_left_out(limits, initial, kept(initial))
    initial, found = kept(initial), kept(found)
    recorded = RunConfig(
        settings=settings,
        images=describe_images(dataset),
        num_initial=len(initial) if random_search is None else 0,
        reference_point=reference,
        extra_datasets={name: describe_images(data) for name, data in (further or {}).items()},
        prepared=prepared,
        random_search=random_search,
        lemonade_tf=__version__,
        versions=versions(_VERSIONED),
        backend="tensorflow",
    )
    workdir = _workdir(config)
    store = RunStore.create(workdir, recorded, [origin.as_record() for origin in found])
    return Setup(
        config,
        store,
        space,
        objectives,
        limits,
        initial,
        found,
        reference,
        RecordedHistory(),
        others,
    )


def resume(
    config: SearchConfig,
    store: RunStore,
    dataset: Dataset,
    further: Mapping[str, Dataset] | None = None,
) -> Setup:
    """Go on with a search, from whatever is in its folder.

    Args:
        config: Its settings; see `resumed_config`.
        store: Its folder.
        dataset: The images, of the first data set.
        further: The other data sets, by what they are called.

    Raises:
        ConfigError: It is no search that can be gone on with.
        StoreError: Another process writes to the folder, a file is damaged, or the data set is
            not the one that the search began with.
    """
    before = store.read_config()
    objectives = run_objectives(before.settings, before.prepared)
    limits = run_limits(before.settings, before.prepared)
    if not before.resumable:
        raise ConfigError(
            f"--resume: {store.path} is a random search, which cannot be resumed; choose another"
            " --workdir."
        )
    check_same_images(store.path, dataset, before.images)
    for name, data in (further or {}).items():
        check_same_images(store.path, data, before.extra_datasets[name])
    others = further_data(further or {})
    store.lock()
    try:
        store.models.clear_staging()
        space = space_of(config)
        found = [WarmStartNetwork.from_record(record) for record in store.initial.read()]
        if config.initial_run is not None and not found:
            raise StoreError(
                f"{store.initial.path} is missing or empty, though the search began with"
                " --initial_run; restore it, or begin another search."
            )
        initial = _initial(space, dataset, found)
        kept = within(limits, initial)
        initial, found = kept(initial), kept(found)
        past = read_recorded_history(store, len(initial))
        _check_num_generations(config.num_generations, past, store)
        _warn_of_other_versions(before.versions)
        store.write_config(replace(before, settings=config.as_json()))
    except BaseException:
        store.release()
        raise
    return Setup(
        config,
        store,
        space,
        objectives,
        limits,
        initial,
        found,
        before.reference_point,
        past,
        others,
    )


def _check_num_generations(asked: int, past: RecordedHistory, store: RunStore) -> None:
    """Check that a search, as far as it came, is not longer than asked for.

    Raises:
        ConfigError: It is.
    """
    finished, begun = past.start_generation - 1, max(past.proposals, default=0)
    if asked < finished:
        raise ConfigError(
            f"--num_generations is {asked}; the search in {store.path} has finished {finished}"
            " already."
        )
    if asked < begun:
        raise ConfigError(
            f"--num_generations is {asked}; the search in {store.path} is in generation {begun};"
            f" give {begun} or more."
        )


def _workdir(config: SearchConfig) -> str | Path:
    """Return the folder of a new run; one that was not given is made, so that no other takes it."""
    while config.workdir is None:
        workdir = default_workdir(config.dataset)
        if make_new_folder(workdir):
            return workdir
    return config.workdir


def _origins(config: SearchConfig, dataset: Dataset) -> tuple[WarmStartNetwork, ...]:
    if config.initial_run is None:
        return ()
    return origins(
        config.initial_run,
        config.space,
        dataset.input_shape,
        dataset.num_classes,
        dataset.rescaling(),
    )


def _initial(
    space: SearchSpace, dataset: Dataset, found: Sequence[WarmStartNetwork]
) -> tuple[Graph, ...]:
    if found:
        return tuple(origin.graph for origin in found)
    graphs = space.initial_graphs(
        dataset.input_shape, dataset.num_classes, rescaling=dataset.rescaling()
    )
    return tuple(graph.copy(weights=False) for graph in graphs)


def _warn_of_other_versions(before: Mapping[str, str]) -> None:
    now = versions(_VERSIONED)
    differing = [
        f"{name} was {before[name]}, now {now.get(name)}"
        for name in before
        if before[name] != now.get(name)
    ]
    if differing:
        _logger.warning(
            "%s: the search goes on, but may come to other results than it would have.",
            "; ".join(differing),
        )
