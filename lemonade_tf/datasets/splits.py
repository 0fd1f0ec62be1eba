"""Hold out a stratified part of a data set.

The split depends on the data set alone, never on the seed of a search, so that searches can be
compared. As in the paper (section 5: 45,000 and 5,000 of the 50,000 images of CIFAR), a tenth of
the training images, at most 5,000, is held out where a data set has no validation part.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from lemonade_tf.datasets.array_files import Allocate, ArrayFile, ArrayFiles
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError

_SEED = 1912  # never change it: splits must stay the same
_MAX_VALIDATION_IMAGES = 5000
_ROWS = 4096  # copied at a time


def hold_out_validation(labels: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Split training examples into training and validation.

    Args:
        labels: Class indices, (images,).
        where: Names the labels in the error.

    Returns:
        The indices of both parts, in ascending order.

    Raises:
        DatasetError: If there are too few images to keep one of each class for training.
    """
    num_held_out = min(_MAX_VALIDATION_IMAGES, max(1, round(len(labels) / 10)))
    num_classes = len(np.unique(labels))
    if num_held_out > len(labels) - num_classes:
        raise DatasetError(
            f"{where} has {num_classes} classes in {len(labels)} images; expected more than one"
            " image per class, because some are held out for validation. Add images, or a"
            " validation part."
        )
    return hold_out(labels, num_held_out)


def hold_out(labels: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Split examples into those to keep and `num` to hold out, as indices in ascending order.

    Each class contributes in proportion to its size, and keeps at least one example. A class of at
    least two examples contributes at least one, as far as `num` allows.
    """
    # RandomState is the generator whose numbers NumPy promises not to change.
    shuffled = np.random.RandomState(_SEED).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Sorted by class, examples at equal distances are a stratified sample. The first of each
    # class cannot be drawn, so that no class disappears.
    first_of_class = np.diff(labels[order], prepend=-1) > 0
    pool = order[~first_of_class]
    drawn = np.zeros(len(pool), bool)
    drawn[np.arange(num) * len(pool) // num] = True
    _draw_missing_classes(labels[pool], drawn)
    held_out = np.sort(pool[drawn])
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def _draw_missing_classes(labels: np.ndarray, drawn: np.ndarray) -> None:
    """Replace examples of the classes that most are drawn of by one of each class without any.

    Args:
        labels: The classes of the examples, sorted.
        drawn: Which of them are drawn; changed in place.
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    counts = np.bincount(inverse[drawn], minlength=len(first))
    for missing in np.flatnonzero(counts == 0):
        most = np.argmax(counts)
        if counts[most] < 2:
            return
        drawn[np.flatnonzero(drawn & (inverse == most))[-1]] = False
        drawn[first[missing]] = True
        counts[most] -= 1
        counts[missing] = 1


def sampled(dataset: Dataset, num: int) -> Dataset:
    """Return a data set with fewer training images, of each class the same share.

    At least one image of each class stays; so there may be slightly more than `num`. The images
    depend on the data set alone. Its rescaling stays that of all training images. Many images from
    a mapped file are copied to another file, which has no name and is gone with this process.
    """
    num_classes = len(np.unique(dataset.y_train))
    num_left_out = len(dataset.y_train) - max(num, num_classes)
    if num_left_out <= 0:
        return dataset
    kept, _ = hold_out(dataset.y_train, num_left_out)
    mapped = ArrayFile.of(dataset.x_train)
    with ArrayFiles(None if mapped is None else Path(mapped.path).parent) as files:
        allocate = np.empty if mapped is None else files.allocate
        images = take_rows(dataset.x_train, kept, allocate)
    return replace(
        dataset,
        x_train=images,
        y_train=dataset.y_train[kept],
        known_rescaling=dataset.rescaling(),
        known_digest=None,
    )


def with_validation_images(dataset: Dataset, allocate: Allocate = np.empty) -> Dataset:
    """Return a data set whose training images are followed by its validation images.

    Its rescaling stays that of the training images alone. Images are copied, unless they follow
    each other in a file already.
    """
    return replace(
        dataset,
        x_train=_joined(dataset, allocate),
        y_train=np.concatenate([dataset.y_train, dataset.y_validation]),
        known_rescaling=dataset.rescaling(),
        known_digest=None,
    )


def _joined(dataset: Dataset, allocate: Allocate) -> np.ndarray:
    parts = dataset.x_train, dataset.x_validation
    files = [ArrayFile.of(part) for part in parts]
    joined = files[0].followed_by(files[1]) if files[0] and files[1] else None
    if joined is not None:
        return joined.open()
    shape = (sum(map(len, parts)), *dataset.input_shape)
    images, start = allocate(shape, dataset.x_train.dtype), 0
    for part in parts:
        for row in range(0, len(part), _ROWS):
            chunk = part[row : row + _ROWS]
            images[start : start + len(chunk)] = chunk
            start += len(chunk)
    return images


def take_rows(images: np.ndarray, rows: np.ndarray, allocate: Allocate) -> np.ndarray:
    """Copy some rows of an array to a new one."""
    taken = allocate((len(rows), *images.shape[1:]), images.dtype)
    for start in range(0, len(rows), _ROWS):
        taken[start : start + _ROWS] = images[rows[start : start + _ROWS]]
    return taken
