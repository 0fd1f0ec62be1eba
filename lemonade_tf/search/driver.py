"""Run a search: LEMONADE from the data set to the folder of trained networks.

`evolution` decides which children to train; `executors` hand them to worker processes, in which
`training` replays their operators on their parent's file, distils, trains and evaluates; `store`
keeps what comes back; `run` ties them together. The driver itself never holds a weight and
never loads Keras.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lemonade_tf.config import (
    PRESETS,
    ConfigError,
    SearchConfig,
    check_effects,
    make_config,
    resumed_config,
)
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.loading import load_datasets
from lemonade_tf.executors import Executor, Outcome, ProcessExecutor
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.search.interrupt import Interruption
from lemonade_tf.search.run import SearchRun
from lemonade_tf.search.setup import Setup, begin
from lemonade_tf.search.setup import resume as go_on
from lemonade_tf.store import RunStore
from lemonade_tf.training.augmentation import augmentation_for
from lemonade_tf.workers.setup import SEARCH_WORKER, WorkerSetup
from lemonade_tf.workers.tasks import ObjectiveTask


@dataclass(frozen=True)
class SearchResult:
    """What a search leaves.

    Attributes:
        workdir: The folder of the run.
        front: The Pareto front, from the fewest parameters on: mappings with the columns of
            front.csv.
        hypervolume: Of the front, against the reference point in config.json.
        complete: Whether all generations ran; False if `max_hours` or Ctrl-C ended the search.
        stopped: Whether Ctrl-C ended it.
    """

    workdir: Path
    front: Sequence[Mapping[str, Any]]
    hypervolume: float
    complete: bool
    stopped: bool = False


def search(
    config: SearchConfig | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    **settings: Any,
) -> SearchResult:
    """Search for a Pareto front of networks; what `lemonade-tf search` does.

    Ctrl-C once ends the search when what runs is finished, twice at once.

    Args:
        config: The settings; by default `make_config(**settings)`.
        callbacks: Told of the progress.
        resume: Go on with the search in `workdir`, whatever ended it; a folder without one begins
            it. Settings that are not given are then those of that search.
        **settings: Arguments of `make_config`, if no config is given: `preset` and those of
            `SearchConfig`.

    Returns:
        Where the run is and what its front is. The networks are files in the run folder.

    Raises:
        ConfigError: A setting makes no sense, or may not change when a search is resumed.
        DatasetError: The data set cannot be read.
        ObjectiveError: An objective cannot be prepared.
        StoreError: The run folder holds a run, is damaged, or cannot be written.
        SearchError: No initial network could be trained, or all networks fail.
    """
    if config is not None and settings:
        raise TypeError("give search() a config or settings, not both.")
    started = time.monotonic()
    workdir = settings.get("workdir") if config is None else config.workdir
    if resume and workdir is None:
        raise ConfigError("--resume needs --workdir, the folder of the run to go on with.")
    if resume and RunStore.holds_run(workdir):
        store = RunStore.open(workdir)
        given = _expanded(settings) if config is None else config.as_json()
        config = resumed_config(store.read_config().settings, given)
        check_effects(config, settings)
        dataset, further = _load(config)
        setup = go_on(config, store, dataset, further)
        return _run(setup, dataset, callbacks, started)
    config = make_config(**settings) if config is None else config
    dataset, further = _load(config)
    setup = begin(config, dataset, partial(_carry_out, callbacks), further=further)
    return _run(setup, dataset, callbacks, started)


def _expanded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of the preset that is named among them, if one is."""
    given = dict(settings)
    preset = given.pop("preset", None)
    if preset is not None:
        make_config(preset)  # raises if there is none
        given = {**PRESETS[preset], **given}
    return given


def _load(config: SearchConfig) -> tuple[Dataset, dict[str, Dataset]]:
    dataset, further = load_datasets(config.dataset, config.data_dir)
    for each in (dataset, *further.values()):
        try:
            augmentation_for(each, config.training)
        except ValueError as error:  # begins with the setting
            raise ConfigError(f"{each.name}: --{error}") from None
    return dataset, further


def _workers(config: SearchConfig, num_workers: int, log_dir: Path | None = None) -> Executor:
    """Return an executor of worker processes for a search."""
    worker = WorkerSetup(
        SEARCH_WORKER, config.dataset, config.data_dir, config.training, config.threads
    )
    hours = config.max_child_hours
    return ProcessExecutor(
        worker,
        num_workers=num_workers,
        threads=config.threads,
        task_timeout=None if hours is None else 3600 * hours,
        preload=worker.preload,
        log_dir=log_dir,
    )


def _carry_out(
    callbacks: Sequence[Callback], config: SearchConfig, tasks: Sequence[ObjectiveTask]
) -> list[Outcome]:
    """Have objectives prepared by one worker, which has the machine to itself."""
    for callback in callbacks:
        callback.on_prepare(config, [task.name for task in tasks])
    with _workers(config, 1) as executor:
        return list(executor.run(tasks))


def _run(
    setup: Setup, dataset: Dataset, callbacks: Sequence[Callback], started: float
) -> SearchResult:
    if setup.config.tensorboard:
        from lemonade_tf.monitoring.tensorboard import TensorBoard

        callbacks = [TensorBoard(), *callbacks]
    return conduct(setup, dataset, callbacks, started, SearchRun.evolve)


def conduct(
    setup: Setup,
    dataset: Dataset,
    callbacks: Sequence[Callback],
    started: float,
    train: Callable[[SearchRun, Executor], bool],
) -> SearchResult:
    """Start workers, have networks trained by them, and leave the run folder complete.

    Args:
        setup: What the search begins with, or goes on from.
        dataset: The images, of the first data set.
        callbacks: Told of the progress.
        started: When, as a value of `time.monotonic`.
        train: Trains the networks of the run; returns whether it came to its end.
    """
    config, store = setup.config, setup.store
    interruption = Interruption(lambda: run.tell("on_stop_requested"))
    try:
        run = SearchRun(setup, dataset, callbacks, started, lambda: interruption.requested)
    except BaseException:
        store.release()
        raise
    try:
        with (
            interruption,
            _workers(config, run.num_workers, log_dir=store.path / "logs") as executor,
        ):
            complete = train(run, executor)
    finally:
        run.end()
    stopped = interruption.requested and not complete
    rows = [row.as_columns() for row in run.rows()]
    return SearchResult(store.path, rows, run.state.hypervolume, complete, stopped)
