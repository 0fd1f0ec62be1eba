"""The data set that networks of a run are trained on from scratch: its first one."""

from __future__ import annotations

import os
from pathlib import Path

from lemonade_tf.config_checks import as_image_size
from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.retraining.folder import RetrainError
from lemonade_tf.runs import Run
from lemonade_tf.runs.same_images import check_same_images


def cache_dir_of(
    run: Run, given: str | os.PathLike[str] | None = None
) -> str | os.PathLike[str] | None:
    """Return the folder for converted images: that given, or else that of the search if it exists.

    Pictures that the search converted are then not converted again.
    """
    recorded = run.config.settings.get("cache_dir")
    if given is None and recorded is not None and Path(recorded).expanduser().is_dir():
        return recorded
    return given


def checked_dataset(
    run: Run, files: ArrayFiles, cache_dir: str | os.PathLike[str] | None = None
) -> Dataset:
    """Load the first data set of a run, and check that it has not changed.

    Args:
        run: The run.
        files: Where large images go.
        cache_dir: As for `load_dataset`.

    Raises:
        RetrainError: If it cannot be read.
        StoreError: If it has changed.
    """
    data_dir = run.config.settings["data_dir"]
    try:
        dataset = load_dataset(
            run.dataset,
            data_dir,
            allocate=files.allocate,
            cache_dir=cache_dir,
            image_size=as_image_size(run.config.settings.get("image_size")),
        )
    except DatasetError as error:
        raise RetrainError(
            f"the data set of {run.store.path} cannot be read: {error} Relative paths refer to the"
            " folder in which the search was started; if the data set has moved, move it back or"
            " put a symbolic link in its place."
        ) from error
    check_same_images(run.store.path, dataset, run.config.images)
    return dataset
