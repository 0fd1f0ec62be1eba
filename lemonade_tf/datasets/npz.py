"""Load a data set from an `.npz` file.

    numpy.savez("flowers.npz", x_train=..., y_train=..., x_test=..., y_test=...)

Images are raw pixels from 0 to 255 of shape (images, height, width, channels) or, with one channel,
(images, height, width). Floats stay unchanged; a network then expects their range. Labels are
non-negative integers. Object arrays are refused, so nothing in the file is ever unpickled.

Images are read, checked and converted some at a time, so the file may be larger than the memory.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lemonade_tf.datasets.array_files import Allocate
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.datasets.examples import ImageConverter, check_labels, check_training_examples
from lemonade_tf.datasets.npz_members import NpzMember, npz_members
from lemonade_tf.datasets.splits import hold_out_validation

_PARTS = ("train", "validation", "test")
# NumPy and zipfile raise these for files that are damaged, encrypted or compressed by a method
# that they do not support.
_UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def load_npz(name: str, path: Path, allocate: Allocate = np.empty) -> Dataset:
    """Load a data set from an `.npz` file; hold out images for validation if it has none.

    Args:
        name: The name of the data set.
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
    names = [f"{axis}_{part}" for part in _PARTS for axis in "xy"]
    with _explained(path), path.open("rb") as file:
        members = npz_members(file, names)
        scalars = [each for each, member in members.items() if not member.shape]
        if scalars:
            raise ValueError(f"{scalars[0]} is a single number")
        labels = _labels(path, members)
        images = {part: _converter(path, members, part) for part in labels}
        _check_same_kind(path, images, labels)
        y_train = labels["train"]
        num_classes = int(y_train.max()) + 1
        if "validation" in labels:
            [x_train] = _read(members["x_train"], images["train"], allocate)
            [x_validation] = _read(members["x_validation"], images["validation"], allocate)
            y_validation = labels["validation"]
        else:
            split = hold_out_validation(y_train, f"{path}: y_train")
            x_train, x_validation = _read(members["x_train"], images["train"], allocate, split)
            y_train, y_validation = (y_train[rows] for rows in split)
        x_test = None
        if "test" in labels:
            [x_test] = _read(members["x_test"], images["test"], allocate)
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_validation=x_validation,
        y_validation=y_validation,
        x_test=x_test,
        y_test=labels.get("test"),
        num_classes=num_classes,
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise the errors of reading a file as `DatasetError`."""
    try:
        yield
    except DatasetError:
        raise
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


def _labels(path: Path, members: Mapping[str, NpzMember]) -> dict[str, np.ndarray]:
    """Return the checked labels of each part that the file has."""
    labels = {}
    for part in _PARTS:
        names = f"x_{part}", f"y_{part}"
        if part != "train" and not set(names) & set(members):
            continue
        for name in names:
            if name not in members:
                raise DatasetError(
                    f"{path} has no array {name}; expected both x_{part} and y_{part}, found"
                    f" {', '.join(members) or 'neither'}."
                )
        labels[part] = check_labels(f"{path}: {names[1]}", members[names[1]].read())
    return labels


def _converter(path: Path, members: Mapping[str, NpzMember], part: str) -> ImageConverter:
    member = members[f"x_{part}"]
    return ImageConverter(f"{path}: x_{part}", member.shape, member.dtype)


def _check_same_kind(
    path: Path, images: Mapping[str, ImageConverter], labels: Mapping[str, np.ndarray]
) -> None:
    """Check that each image has a label, and that the parts have images and classes alike."""
    for part, each in images.items():
        if each.shape[0] != len(labels[part]):
            raise DatasetError(
                f"{path}: x_{part} has {each.shape[0]} images, y_{part} {len(labels[part])} labels;"
                " expected one label per image."
            )
    train, y_train = images["train"], labels["train"]
    check_training_examples(str(path), y_train)
    for part, each in images.items():
        if (each.shape[1:], each.dtype) != (train.shape[1:], train.dtype):
            raise DatasetError(
                f"{path}: x_{part} has images of shape {each.shape[1:]} ({each.dtype}), x_train of"
                f" shape {train.shape[1:]} ({train.dtype}); expected the same in both."
            )
        if labels[part].max() > y_train.max():
            raise DatasetError(
                f"{path}: y_{part} contains class {labels[part].max()}, y_train only 0 to"
                f" {y_train.max()}; expected the classes of y_train."
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
