"""Load a data set from an `.npz` file.

    numpy.savez("flowers.npz", x_train=..., y_train=..., x_test=..., y_test=...)

Images are raw pixels from 0 to 255 of shape (images, height, width, channels) or, with one channel,
(images, height, width). Floats stay unchanged; a network then expects their range. Labels are
non-negative integers. Object arrays are refused, so nothing in the file is ever unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lemonade_tf.datasets.dataset import Dataset, Examples
from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.datasets.examples import check_images, check_labels, check_training_examples
from lemonade_tf.datasets.splits import hold_out_validation

_PARTS = ("train", "validation", "test")
# NumPy and zipfile raise these for files that are damaged, encrypted or compressed by a method
# that they do not support.
_UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def load_npz(name: str, path: Path) -> Dataset:
    """Load a data set from an `.npz` file; hold out images for validation if it has none.

    Args:
        name: The name of the data set.
        path: A file with arrays `x_train` and `y_train`, and optionally `x_validation` and
            `y_validation`, `x_test` and `y_test`.

    Raises:
        DatasetError: If the file does not exist or does not hold labeled images.
    """
    parts = _read_parts(path)
    images, labels = parts["train"]
    num_classes = int(labels.max()) + 1
    if "validation" not in parts:
        train, validation = hold_out_validation(labels, f"{path}: y_train")
        parts["validation"] = images[validation], labels[validation]
        images, labels = images[train], labels[train]
    x_test, y_test = parts.get("test", (None, None))
    return Dataset(name, images, labels, *parts["validation"], x_test, y_test, num_classes)


def _read_parts(path: Path) -> dict[str, Examples]:
    """Read and check the images and labels of each part that the file has."""
    arrays = _arrays(path)
    parts = {"train": _examples(path, arrays, "train")}
    x_train, y_train = parts["train"]
    check_training_examples(str(path), y_train)
    for part in _PARTS[1:]:
        if not {f"x_{part}", f"y_{part}"} & set(arrays):
            continue
        images, labels = parts[part] = _examples(path, arrays, part)
        if images.shape[1:] != x_train.shape[1:] or images.dtype != x_train.dtype:
            raise DatasetError(
                f"{path}: x_{part} has images of shape {images.shape[1:]} ({images.dtype}), x_train"
                f" of shape {x_train.shape[1:]} ({x_train.dtype}); expected the same in both."
            )
        if labels.max() > y_train.max():
            raise DatasetError(
                f"{path}: y_{part} contains class {labels.max()}, y_train only 0 to"
                f" {y_train.max()}; expected the classes of y_train."
            )
    return parts


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    """Read the arrays of a file that belong to a data set."""
    if not path.is_file():
        raise DatasetError(
            f"{path} does not exist; expected an .npz file with x_train and y_train."
        )
    names = [f"{axis}_{part}" for part in _PARTS for axis in "xy"]
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            arrays = {name: archive[name] for name in names if name in archive}
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise ValueError(f"{name} is not an array")
        return arrays
    except MemoryError as error:
        raise DatasetError(
            f"{path} does not fit into memory ({one_line(error)}). Use fewer or smaller images. If"
            " it should fit, the file is damaged."
        ) from error
    except _UNREADABLE as error:
        raise DatasetError(
            f"{path} is not a readable .npz file of numeric arrays ({one_line(error)}). Write it"
            " with numpy.savez(path, x_train=..., y_train=...)."
        ) from error


def _examples(path: Path, arrays: Mapping[str, np.ndarray], part: str) -> Examples:
    """Return the checked images and labels of one part."""
    for name in (f"x_{part}", f"y_{part}"):
        if name not in arrays:
            raise DatasetError(
                f"{path} has no array {name}; expected both x_{part} and y_{part}, found"
                f" {', '.join(arrays) or 'neither'}."
            )
    images = check_images(f"{path}: x_{part}", arrays[f"x_{part}"])
    labels = check_labels(f"{path}: y_{part}", arrays[f"y_{part}"])
    if len(images) != len(labels):
        raise DatasetError(
            f"{path}: x_{part} has {len(images)} images, y_{part} {len(labels)} labels; expected"
            " one label per image."
        )
    return images, labels
