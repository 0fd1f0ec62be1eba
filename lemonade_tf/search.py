"""Run a search: LEMONADE from the data set to the folder of trained networks.

`evolution` decides which children to train; `executors` hand them to worker processes, in which
`training` replays their operators on their parent's file, distils, trains and evaluates; `store`
keeps what comes back; `search_run` ties them together. The driver itself never holds a weight and
never loads Keras.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lemonade_tf.callbacks import Callback, SearchState
from lemonade_tf.config import ConfigError, SearchConfig, make_config
from lemonade_tf.executors import Executor, ProcessExecutor
from lemonade_tf.search_run import SearchError, SearchRun, training_settings
from lemonade_tf.training.augmentation import preparation_for
from lemonade_tf.training.datasets import load_dataset
from lemonade_tf.training.task import PRELOAD, start_worker

__all__ = ["Callback", "SearchConfig", "SearchError", "SearchResult", "SearchState", "search"]


@dataclass(frozen=True)
class SearchResult:
    """What a search leaves.

    Attributes:
        workdir: The folder of the run.
        front: The Pareto front, from the fewest parameters on: mappings with the columns of
            front.csv.
        hypervolume: Of the front, against the reference point in config.json.
        complete: Whether all generations ran; False if `max_hours` ended the search.
    """

    workdir: Path
    front: Sequence[Mapping[str, Any]]
    hypervolume: float
    complete: bool


def search(
    config: SearchConfig | None = None, *, callbacks: Sequence[Callback] = (), **settings: Any
) -> SearchResult:
    """Search for a Pareto front of networks; what `lemonade-tf search` does.

    Args:
        config: The settings; by default `make_config(**settings)`.
        callbacks: Told of the progress.
        **settings: Arguments of `make_config`, if no config is given: `preset` and those of
            `SearchConfig`.

    Returns:
        Where the run is and what its front is. The networks are files in the run folder.

    Raises:
        ConfigError: A setting makes no sense.
        DatasetError: The data set cannot be read.
        StoreError: The run folder holds a run, or cannot be written.
        SearchError: No initial network could be trained.
    """
    if config is not None and settings:
        raise TypeError("give search() a config or settings, not both.")
    config = make_config(**settings) if config is None else config
    started = time.monotonic()
    dataset = load_dataset(config.dataset, config.data_dir)
    try:
        preparation_for(dataset, training_settings(config))
    except ValueError as error:
        raise ConfigError(f"the augmentation does not fit the images: {error}") from None
    run = SearchRun(config, dataset, callbacks, started)
    return conduct(run, run.evolve)


def conduct(run: SearchRun, train: Callable[[Executor], bool]) -> SearchResult:
    """Start workers, have networks trained by them, and leave the run folder complete.

    Args:
        run: The run, whose folder was just made.
        train: Trains the networks of the run; returns whether it came to its end.
    """
    config = run.config
    setup = partial(
        start_worker, config.dataset, config.data_dir, training_settings(config), config.threads
    )
    try:
        with ProcessExecutor(
            setup,
            num_workers=run.num_workers,
            threads=config.threads,
            preload=PRELOAD,
            log_dir=run.store.path / "logs",
        ) as executor:
            complete = train(executor)
    finally:
        run.end()
    return SearchResult(run.store.path, run.rows(), run.state.hypervolume, complete)
