"""Run a search: LEMONADE from the data set to the folder of trained networks.

`algorithm` decides with `evolution` which children to train; an executor distributes them to
workers, which replay their operators on their parent's file, distill, train and evaluate them;
`store` records the results; `session` connects these parts. This process never holds weights and
never loads Keras.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.description import described
from lemonade_tf.datasets.given_arrays import is_arrays, save_arrays
from lemonade_tf.datasets.loading import load_datasets, reading_text, takes_image_size
from lemonade_tf.datasets.source import DatasetSource, SharedDatasets
from lemonade_tf.errors import did_you_mean, quoted
from lemonade_tf.executors import Executor, Outcome
from lemonade_tf.monitoring.callback import Callback, Preparation, announce
from lemonade_tf.presets import PRESETS, check_effects, given_names, make_config
from lemonade_tf.runs.same_images import check_same_images
from lemonade_tf.search.algorithm import run_algorithm
from lemonade_tf.search.continued_config import replayed_config, resumed_config
from lemonade_tf.search.replay import RecordedOrder, read_recorded_order
from lemonade_tf.search.resume import resume_run
from lemonade_tf.search.session import SearchResult, run_session
from lemonade_tf.search.setup import Setup
from lemonade_tf.search.sizing import with_time_budget
from lemonade_tf.search.start import start_run
from lemonade_tf.search.versions import warn_of_other_versions
from lemonade_tf.search.worker_processes import search_workers
from lemonade_tf.store import RunStore
from lemonade_tf.training.augmentation import augmentation_for
from lemonade_tf.workers.progress_file import ProgressFile
from lemonade_tf.workers.tasks import ObjectiveTask
from lemonade_tf.workers.worker_setup import connection


def search(
    config: SearchConfig | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    executor: Executor | str | None = None,
    **settings: Any,
) -> SearchResult:
    """Search for a Pareto front of networks, like `lemonade-tf search`.

    The first Ctrl-C ends the search when the running networks are finished, the second immediately.

    Args:
        config: The settings; defaults to `make_config(**settings)`.
        callbacks: Informed of the progress.
        resume: Whether to resume the search in `workdir`. Settings that are not given are then
            those of that search. A folder without a run starts one.
        executor: The setting of this name; or trains the networks: any `Executor` whose workers are
            set up by `worker_setup(config)`. It is not closed, and the settings of executors,
            `workers` and `max_child_hours` among them, have no effect then.
        **settings: Arguments of `make_config`, instead of a config: `preset`, and the settings of
            `SearchConfig`. With `replay`, settings that are not given are those of that run.
            `dataset` may also be arrays: (x_train, y_train), ((x_train, y_train), (x_test,
            y_test)) as from `keras.datasets`, or a mapping with the names of an `.npz` file. They
            are saved once, as arrays-CHECKSUM.npz in `data_dir`.

    Returns:
        The run folder and its front. The networks are files in the run folder.

    Raises:
        ConfigError: If a setting is invalid, or must not change when a search is resumed.
        DatasetError: If the data set cannot be read.
        ObjectiveError: If an objective cannot be prepared.
        StoreError: If the run folder already holds a run, is damaged, or cannot be written.
        SearchError: If no initial network can be trained, or all networks fail.
        WorkerSetupError: If workers fail to start, or the Ray cluster cannot be reached.
    """
    callbacks = _check_arguments(config, callbacks, settings)
    if isinstance(executor, str):
        settings["executor"], executor = executor, None
    if config is not None and settings:
        raise TypeError(
            f"search() got a config and the settings {', '.join(settings)}; expected only one of"
            " them."
        )
    started, given_config = time.monotonic(), config
    if is_arrays(settings.get("dataset")):
        settings["dataset"] = save_arrays(
            settings["dataset"], settings.get("data_dir"), settings.get("cache_dir")
        )
    workdir = settings.get("workdir") if config is None else config.workdir
    if resume and workdir is None:
        raise ConfigError("--resume needs --workdir, the folder of the run to resume.")
    with ExitStack() as until_end:  # keeps the connection, and the files that workers map
        is_new = not resume or workdir is None or not RunStore.holds_run(workdir)
        if not is_new:
            setup = _resume(str(workdir), config, settings, callbacks, until_end)
        else:
            config, order = _new_config(config, settings)
            if executor is None:  # before there is a folder
                until_end.enter_context(connection(config))
            setup = _start(config, order, callbacks, executor, until_end, started)
        setup = with_time_budget(setup, given_names(given_config, settings), is_new=is_new)
        if setup.config.tensorboard:
            from lemonade_tf.monitoring.tensorboard import TensorBoard

            callbacks = [TensorBoard(), *callbacks]
        from lemonade_tf.monitoring.live_report import LiveReport

        callbacks = [LiveReport(), *callbacks]
        return run_session(
            setup, run_algorithm, callbacks=callbacks, started=started, executor=executor
        )


def _check_arguments(
    config: Any, callbacks: Any, settings: Mapping[str, Any]
) -> Sequence[Callback]:
    """Check the arguments of `search`, and return its callbacks as a list.

    Raises:
        ConfigError: If the name of a setting is unknown, or an argument has another type.
    """
    known = (*SearchConfig.names(), "preset", "config", "callbacks", "resume", "executor")
    for name in settings:
        if name not in known:
            raise ConfigError(f"there is no setting {name!r}{did_you_mean(name, known)}")
    if config is not None and not isinstance(config, SearchConfig):
        raise ConfigError(
            f"config is of type {type(config).__name__}; expected a SearchConfig. Pass settings by"
            " name, such as search(dataset='digits')."
        )
    callbacks = [callbacks] if isinstance(callbacks, Callback) else callbacks
    if not isinstance(callbacks, list | tuple) or not all(
        isinstance(c, Callback) for c in callbacks
    ):
        raise ConfigError(
            f"callbacks is {quoted(callbacks)}; expected a list of instances of"
            " lemonade_tf.search.Callback."
        )
    return callbacks


def _resume(
    workdir: str,
    config: SearchConfig | None,
    settings: Mapping[str, Any],
    callbacks: Sequence[Callback],
    until_end: ExitStack,
) -> Setup:
    store = RunStore.open(workdir)
    recorded, named = store.read_config(), given_names(config, settings)
    given = _with_preset(settings) if config is None else config.as_json()
    chosen = recorded.budgeted_settings or ()  # a preset does not change them back
    given = {name: v for name, v in given.items() if name in named or name not in chosen}
    config = resumed_config(recorded.settings, given)
    # Another executor may have no use for the strategy of the run.
    check_effects(config, {*settings, "strategy"} if "executor" in settings else settings)
    config, dataset, extra = _load_datasets(config, callbacks, until_end)
    announce(callbacks, f"Reading the run folder {workdir}.")
    return resume_run(config, store, dataset, extra)


def _new_config(
    config: SearchConfig | None, settings: Mapping[str, Any]
) -> tuple[SearchConfig, RecordedOrder | None]:
    """Return the settings of a new search, and the order of the run that it replays, if any."""
    replay = settings.get("replay") if config is None else config.replay
    if replay is None:
        return (make_config(**settings) if config is None else config), None
    order = read_recorded_order(replay)
    given = _with_preset(settings) if config is None else config.as_json()
    config = replayed_config(order.config.settings, given)
    check_effects(config, settings)
    return config, order


def _start(
    config: SearchConfig,
    order: RecordedOrder | None,
    callbacks: Sequence[Callback],
    executor: Executor | None,
    until_end: ExitStack,
    started: float,
) -> Setup:
    config, dataset, extra = _load_datasets(config, callbacks, until_end)
    if order is None:
        source = SharedDatasets.of(dataset, extra)
        prepare = partial(_prepare, callbacks, executor, source, started)
        return start_run(config, dataset, prepare, extra=extra)
    check_same_images(order.path, dataset, order.config.images)
    for name, data in extra.items():
        check_same_images(order.path, data, order.config.extra_datasets[name])
    warn_of_other_versions(order.config.versions, "the replay ends if a result differs")
    return start_run(config, dataset, extra=extra, matched=order.config, order=order)


def _with_preset(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the name of a preset among settings, if there is one, by its settings."""
    given = dict(settings)
    preset = given.pop("preset", None)
    if preset is not None:
        make_config(preset)  # raises if there is none
        given = {**PRESETS[preset], **given}
    return given


def _load_datasets(
    config: SearchConfig, callbacks: Sequence[Callback], until_end: ExitStack
) -> tuple[SearchConfig, Dataset, dict[str, Dataset]]:
    """Load the data sets; large images are in files that exist until the end of the search.

    Returns:
        The settings with the defaults that depend on the size of the images; the first data set;
        and the extra ones by name.
    """
    files = until_end.enter_context(ArrayFiles(config.cache_dir))
    announce(callbacks, reading_text(config.dataset))
    dataset, extra = load_datasets(
        config.dataset,
        config.data_dir,
        allocate=files.allocate,
        cache_dir=config.cache_dir,
        image_size=config.image_size,
    )
    for each in (dataset, *extra.values()):
        try:
            augmentation_for(each, config.training)
        except ValueError as error:  # starts with the setting
            raise ConfigError(f"{each.name}: --{error}") from None
    training = config.training.for_images(dataset.input_shape)
    config = replace(config, training=training)
    if takes_image_size(config.dataset):
        for each in (dataset, *extra.values()):
            announce(callbacks, described(each))
        config = replace(config, image_size=dataset.input_shape[:2])
    return config, dataset, extra


def _prepare(
    callbacks: Sequence[Callback],
    executor: Executor | None,
    source: DatasetSource,
    started: float,
    config: SearchConfig,
    tasks: Sequence[ObjectiveTask],
) -> list[Outcome]:
    """Prepare objectives one after the other, as they may measure times on this machine."""
    for callback in callbacks:
        callback.on_prepare(config, [task.name for task in tasks])
    own = (
        search_workers(config, source, num_workers=1) if executor is None else nullcontext(executor)
    )
    with own as worker, TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        outcomes: list[Outcome] = []
        for number, task in enumerate(tasks):
            file = Path(folder) / str(number)
            if executor is None and config.executor == "processes":  # workers on this machine
                task = replace(task, progress_file=str(file))
            task = replace(task, max_seconds=_seconds_left(config, started))
            preparation = Preparation(task.name, ProgressFile(file).read)
            try:
                for callback in callbacks:
                    callback.on_prepare_begin(preparation)
                outcomes += worker.run([task])
            finally:
                for callback in callbacks:
                    callback.on_prepare_end(preparation)
        return outcomes


def _seconds_left(config: SearchConfig, started: float) -> float | None:
    """Return how long a search that started at a time may still take; None for any time."""
    limits = [
        unit * limit
        for unit, limit in ((60, config.minutes), (3600, config.max_hours))
        if limit is not None
    ]
    return min(limits) - (time.monotonic() - started) if limits else None
