"""Parse a `dataset` setting that lists several data sets, such as "cifar10,cifar100".

Networks evolve on the first data set. Each extra one is named by its path without folder and
suffix; the name becomes part of the objective `error_NAME`, of the files `models/ID.NAME.h5` and
of the column `test_error_NAME`. A path that contains a comma cannot be given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from lemonade_tf.datasets.dataset_error import DatasetNameError

TFDS_PREFIX = "tfds:"  # of data sets of TensorFlow Datasets
ERROR_PREFIX = "error_"  # of the objectives that are the error on an extra data set
_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")  # valid in an objective's name and in a file name


def join_datasets(dataset: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> str:
    """Join one or several names or paths of data sets to a `dataset` setting.

    Raises:
        DatasetNameError: If they are something else.
    """
    if isinstance(dataset, (str, os.PathLike)):
        return os.fspath(dataset)
    try:
        return ",".join(os.fspath(name) for name in dataset)
    except TypeError:
        raise DatasetNameError(
            f"got a {type(dataset).__name__}; expected names or paths of data sets, or, in"
            " search(dataset=...), arrays."
        ) from None


def parse_datasets(dataset: str) -> tuple[str, ...]:
    """Split a `dataset` setting into names and paths."""
    return tuple(part.strip() for part in dataset.split(",")) if "," in dataset else (dataset,)


def is_tfds(name: str) -> bool:
    """Return whether a data set is one of TensorFlow Datasets."""
    return name.startswith(TFDS_PREFIX)


def extra_dataset_names(dataset: str) -> tuple[str, ...]:
    """Return the names of all data sets of a setting but the first.

    Raises:
        DatasetNameError: If two names are equal, or one contains other characters than letters,
            digits and underscores.
    """
    names = [dataset_stem(name) for name in parse_datasets(dataset)]
    for name in names[1:]:
        if not _NAME.fullmatch(name):
            raise DatasetNameError(
                f"{dataset!r} names an extra data set {name!r}; expected 1 to 40 letters, digits"
                f" and underscores, as in the objective {ERROR_PREFIX}NAME. Rename the file."
            )
    if len(set(names)) < len(names):
        raise DatasetNameError(
            f"{dataset!r} names data sets {', '.join(names)}; expected a different name for each."
            " Rename a file."
        )
    return tuple(names[1:])


def dataset_stem(name: str) -> str:
    """Return the name or path of a data set without what cannot be in the name of a folder."""
    return Path(name.removeprefix(TFDS_PREFIX).partition(":")[0] if is_tfds(name) else name).stem


def file_id(id_: str, name: str | None) -> str:
    """Return the stem of the file that holds a network trained on one of the data sets.

    Args:
        id_: The id of the network.
        name: The name of the extra data set; None for the first data set.
    """
    return id_ if name is None else f"{id_}.{name}"
