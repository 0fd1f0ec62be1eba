"""Load a data set from an `.npz` file.

    numpy.savez("flowers.npz", x_train=..., y_train=..., x_test=..., y_test=...)

`npz_names` lists the names of arrays. Images are raw pixels from 0 to 255, integers or floats, of
shape (images, height, width, channels) or, with one channel, (images, height, width). Labels are
class indices, or one-hot. An array `class_names` of texts names the classes. Object arrays are
refused, so nothing in the file is ever unpickled.

Images are read, checked and converted some at a time, so the file may be larger than the memory.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from lemonade_tf.datasets.array_files import Allocate
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.datasets.examples import ImageConverter
from lemonade_tf.datasets.labels import (
    check_labels,
    check_training_labels,
    one_hot_classes,
    warn_of_missing_classes,
)
from lemonade_tf.datasets.npz_members import NpzMember, array_names, npz_members
from lemonade_tf.datasets.npz_names import CLASS_NAMES, PARTS, find_arrays
from lemonade_tf.datasets.splits import hold_out_validation
from lemonade_tf.errors import printable

# NumPy and zipfile raise these for files that are damaged, encrypted or compressed by a method
# that they do not support.
_UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def load_npz(name: str, path: Path, allocate: Allocate = np.empty) -> Dataset:
    """Load a data set from an `.npz` file; hold out images for validation if it has none.

    Args:
        name: The name of the data set, also in errors.
        path: A file with arrays `x_train` and `y_train`, and optionally `x_validation` and
            `y_validation`, `x_test` and `y_test`.
        allocate: Allocates the arrays of images.

    Raises:
        DatasetError: If the file does not exist or does not hold labeled images.
    """
    if not path.is_file():
        raise DatasetError(
            f"{path} does not exist; expected an .npz file with x_train and y_train."
        )
    with _explained(name), path.open("rb") as file:
        names = find_arrays(name, array_names(file))
        found = npz_members(file, names.values())
        members = {meaning: found[name] for meaning, name in names.items()}
        scalars = [each for each, member in found.items() if not member.shape]
        if scalars:
            raise ValueError(f"{scalars[0]} is a single number")
        labels = {
            part: _labels(f"{name}: {names[key]}", members[key])
            for part, key in zip(PARTS, ("y_train", "y_validation", "y_test"), strict=True)
            if key in members
        }
        images = {
            part: ImageConverter(f"{name}: {names[f'x_{part}']}", member.shape, member.dtype)
            for part, member in ((part, members[f"x_{part}"]) for part in labels)
        }
        _check_same_kind(name, names, images, labels)
        y_train = labels["train"]
        num_classes = int(y_train.max()) + 1
        _check_columns(name, num_classes, names, members)
        if "validation" in labels:
            [x_train] = _read(members["x_train"], images["train"], allocate)
            [x_validation] = _read(members["x_validation"], images["validation"], allocate)
            y_validation = labels["validation"]
        else:
            split = hold_out_validation(y_train, f"{name}: {names['y_train']}")
            x_train, x_validation = _read(members["x_train"], images["train"], allocate, split)
            y_train, y_validation = (y_train[rows] for rows in split)
        x_test = None
        class_names = _class_names(name, file, num_classes)
        if "test" in labels:
            [x_test] = _read(members["x_test"], images["test"], allocate)
        for each in images.values():
            each.range.check_same(images["train"].range)
    classes = class_names or range(num_classes)
    warn_of_missing_classes(name, classes, {**labels, "validation": y_validation})
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_validation=x_validation,
        y_validation=y_validation,
        x_test=x_test,
        y_test=labels.get("test"),
        num_classes=num_classes,
        class_names=class_names,
    )


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Raise the errors of reading a file as `DatasetError`."""
    try:
        yield
    except DatasetError:
        raise
    except MemoryError as error:
        raise DatasetError(
            f"{name} does not fit into memory ({one_line(error)}). Use fewer or smaller images. If"
            " it should fit, the file is damaged."
        ) from error
    except _UNREADABLE as error:
        raise DatasetError(
            f"{name} is not a readable .npz file of numeric arrays ({one_line(error)}). Write it"
            " with numpy.savez(path, x_train=..., y_train=...)."
        ) from error


def _labels(where: str, member: NpzMember) -> np.ndarray:
    """Return the checked labels of a part."""
    if len(member.shape) == 2 and member.shape[1] > 1 and member.dtype.kind in "biuf":
        return one_hot_classes(where, member.rows())
    return check_labels(where, member.read())


def _class_names(name: str, file: IO[bytes], num_classes: int) -> tuple[str, ...] | None:
    """Return the names of the classes; None if there are none."""
    found = npz_members(file, [CLASS_NAMES])
    if not found:
        return None
    array = found[CLASS_NAMES].read()
    if array.shape != (num_classes,) or array.dtype.kind not in "US":
        raise DatasetError(
            f"{name}: {CLASS_NAMES} has shape {array.shape} and dtype {array.dtype}; expected"
            f" {num_classes} texts, one for each class in y_train."
        )
    texts = (each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in array)
    return tuple(printable(str(each)) for each in texts)


def _check_same_kind(
    name: str,
    names: Mapping[str, str],
    images: Mapping[str, ImageConverter],
    labels: Mapping[str, np.ndarray],
) -> None:
    """Check that each image has a label, and that the parts have images and classes alike."""
    x_names, y_names = ({part: names[f"{axis}_{part}"] for part in images} for axis in "xy")
    for part, each in images.items():
        if each.shape[0] != len(labels[part]):
            raise DatasetError(
                f"{name}: {x_names[part]} has {each.shape[0]} images, {y_names[part]}"
                f" {len(labels[part])} labels; expected one label per image."
            )
    train, y_train = images["train"], labels["train"]
    check_training_labels(name, y_train)
    for part, each in images.items():
        if (each.shape[1:], each.dtype) != (train.shape[1:], train.dtype):
            raise DatasetError(
                f"{name}: {x_names[part]} has images of shape {each.shape[1:]} ({each.dtype}),"
                f" {x_names['train']} of shape {train.shape[1:]} ({train.dtype}); expected the same"
                " in both."
            )
        if labels[part].max() > y_train.max():
            raise DatasetError(
                f"{name}: {y_names[part]} contains class {labels[part].max()}, {y_names['train']}"
                f" only 0 to {y_train.max()}; expected the classes of {y_names['train']}."
            )


def _check_columns(
    name: str, num_classes: int, names: Mapping[str, str], members: Mapping[str, NpzMember]
) -> None:
    """Check that one-hot labels have a column per class of the training images."""
    for key in ("y_train", "y_validation", "y_test"):
        shape = members[key].shape if key in members else ()
        if len(shape) == 2 and shape[1] not in (1, num_classes):
            raise DatasetError(
                f"{name}: {names[key]} has {shape[1]} columns, but {names['y_train']} has images of"
                f" {num_classes} classes; expected one-hot labels with a column for each. Remove"
                " the columns of classes without training images."
            )


def _read(
    member: NpzMember,
    converter: ImageConverter,
    allocate: Allocate,
    split: Sequence[np.ndarray] = (),
) -> list[np.ndarray]:
    """Read images into an array per part of a split, the indices of its images in order."""
    split = split or [np.arange(converter.shape[0])]
    parts = [allocate((len(rows), *converter.shape[1:]), converter.dtype) for rows in split]
    start = 0
    for chunk in member.rows():
        converted = converter.convert(chunk)
        for rows, part in zip(split, parts, strict=True):
            first, last = np.searchsorted(rows, [start, start + len(converted)])
            part[first:last] = converted[rows[first:last] - start]
        start += len(converted)
    converter.check()
    return parts
