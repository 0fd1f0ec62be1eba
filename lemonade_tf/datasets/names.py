"""Several data sets in one setting, as "cifar10,cifar100", and what each of them is called.

The first is the one that networks evolve on. The others are called by what is left of their name
without folder and suffix, and so is what a search has of them: the objective `error_NAME`, the
files models/ID.NAME.h5, the column test_error_NAME. (So a path with a comma cannot be given.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

ERROR_ON = "error_"  # begins the objectives that are the error on a further data set
_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")  # also of a part of an objective and of a file


class DataNameError(ValueError):
    """Several data sets cannot be told apart by name; the message names them."""


def joined(dataset: str | os.PathLike[str] | Iterable[str]) -> str:
    """Return data sets, or one, as a setting."""
    if isinstance(dataset, (str, os.PathLike)):
        return os.fspath(dataset)
    return ",".join(map(os.fspath, dataset))


def datasets_of(dataset: str) -> tuple[str, ...]:
    """Return the data sets of a setting, each a name or a path."""
    return tuple(part.strip() for part in dataset.split(",")) if "," in dataset else (dataset,)


def further_names(dataset: str) -> tuple[str, ...]:
    """Return what the data sets after the first are called.

    Raises:
        DataNameError: Two are called the same, or one cannot be called so.
    """
    names = [Path(name).stem for name in datasets_of(dataset)]
    for name in names[1:]:
        if not _NAME.fullmatch(name):
            raise DataNameError(
                f"{dataset!r} has a data set that is called {name!r}; expected up to 40 letters,"
                f" digits and _, as the error on it is called {ERROR_ON}NAME. Rename the file."
            )
    if len(set(names)) < len(names):
        raise DataNameError(
            f"{dataset!r} has data sets of the same name, {', '.join(names)}; expected different"
            " ones. Rename a file."
        )
    return tuple(names[1:])


def file_id(id_: str, name: str | None) -> str:
    """Return what the file of a network is called that was trained on a data set.

    Args:
        id_: The network.
        name: What the data set is called; None for the first.
    """
    return id_ if name is None else f"{id_}.{name}"
