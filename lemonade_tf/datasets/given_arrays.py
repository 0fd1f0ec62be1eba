"""Arrays in Python as a data set: saved as an `.npz` file, which workers and later commands read.

The file is named by a checksum of its content: a search that is resumed with the same arrays finds
the same data set, and other arrays are another one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.datasets.loading import DATA_DIR
from lemonade_tf.datasets.npz import load_npz
from lemonade_tf.datasets.npz_names import find_arrays
from lemonade_tf.store.atomic import make_folder, replacing

_PARTS = {1: ("train",), 2: ("train", "test"), 3: ("train", "validation", "test")}
_EXPECTED = (
    "expected (x_train, y_train), ((x_train, y_train), (x_test, y_test)), or a dict with the names"
    " of an .npz file"
)


def is_arrays(dataset: Any) -> bool:
    """Return whether a `dataset` setting is arrays, not one or several names or paths."""
    if isinstance(dataset, (tuple, list)):
        return not all(isinstance(name, (str, os.PathLike)) for name in dataset)
    return isinstance(dataset, Mapping) or hasattr(dataset, "__array__")


def save_arrays(
    dataset: Any,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> str:
    """Save arrays as a data set file, unless it is there, and return its path.

    Args:
        dataset: A pair of images and labels; two pairs, for training and test, or three, with
            validation between; or a mapping of names, as in an `.npz` file, to arrays.
        data_dir: The folder of the file; by default as for `load_dataset`.
        cache_dir: As for `ArrayFiles`.

    Raises:
        DatasetError: If these are not labeled images, or the file cannot be written.
    """
    given = dict(_named(dataset))
    names = find_arrays("dataset", given)
    arrays: dict[str, Any] = {meaning: given[name] for meaning, name in names.items()}
    folder = DATA_DIR if data_dir is None else Path(data_dir).expanduser()
    path = folder / f"arrays-{_checksum(arrays)[:12]}.npz"
    if path.is_file():
        return str(path)
    try:
        make_folder(folder)
        with replacing(path) as unfinished, ArrayFiles(cache_dir) as files:
            np.savez(unfinished, **arrays)
            load_npz("dataset", unfinished, files.allocate)  # raises if it is not a data set
    except OSError as error:
        raise DatasetError(
            f"the arrays of dataset cannot be saved as {path} ({one_line(error)}); they are read"
            " from there. Free some space, or choose another folder with data_dir."
        ) from error
    return str(path)


def _named(dataset: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays with their names in an `.npz` file."""
    if isinstance(dataset, Mapping):
        named = [(str(name), value) for name, value in dataset.items()]
    else:
        pairs = dataset if isinstance(dataset, (tuple, list)) else ()
        if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
            pairs = (pairs,)  # images and labels, which may be lists
        if len(pairs) not in _PARTS or any(len(pair) != 2 for pair in pairs):
            raise DatasetError(f"dataset is {_described(dataset)}; {_EXPECTED}.")
        named = [
            (f"{axis}_{part}", value)
            for part, pair in zip(_PARTS[len(pairs)], pairs, strict=True)
            for axis, value in zip("xy", pair, strict=True)
        ]
    for name, value in named:
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DatasetError(
                f"dataset: {name} is no array of numbers ({one_line(error)}); {_EXPECTED}."
            ) from error
        if array.dtype.hasobject:
            raise DatasetError(
                f"dataset: {name} is {_described(value)}, no array of numbers; {_EXPECTED}."
            )
        yield name, array


def _described(value: Any) -> str:
    kind = type(value).__name__
    return f"a {kind} of {len(value)}" if isinstance(value, (tuple, list)) else f"a {kind}"


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        for row in array if array.ndim > 1 else (array,):
            digest.update(row.tobytes())  # any type, such as dates, which are refused later
    return digest.hexdigest()
