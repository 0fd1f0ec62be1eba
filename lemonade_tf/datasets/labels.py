"""Check labels, and convert them to class indices."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.npz_names import listed
from lemonade_tf.errors import quoted

MIN_IMAGES = 10
_NUMBER_CLASSES = "Number the classes: numpy.unique(labels, return_inverse=True)[1]."

_logger = logging.getLogger(__name__)


def check_labels(where: str, labels: np.ndarray) -> np.ndarray:
    """Convert class indices to int32 (images,).

    Args:
        where: Names the array in errors.
        labels: Non-negative integers, (images,) or (images, 1), in any numeric type or bool.

    Raises:
        DatasetError: If the array does not hold class indices.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DatasetError(
            f"{where} has shape {quoted(labels.shape)}; expected (images,), the class index of"
            " each image, or one-hot labels, (images, classes)."
        )
    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    if labels.dtype.kind not in "iuf":
        raise DatasetError(
            f"{where} has dtype {quoted(labels.dtype)}; expected non-negative integers."
            f" {_NUMBER_CLASSES}"
        )
    if labels.dtype.kind == "f":
        labels = labels.astype(np.float64)  # float16 cannot represent the limit below
    wrong = labels[(labels < 0) | (labels != np.floor(labels)) | (labels > 2**31 - 1)]
    if len(wrong):
        raise DatasetError(
            f"{where} contains {wrong[0]}; expected non-negative integers. {_NUMBER_CLASSES}"
        )
    return labels.astype(np.int32)


def one_hot_classes(where: str, chunks: Iterable[np.ndarray]) -> np.ndarray:
    """Return the classes of one-hot labels, int32 (images,).

    Args:
        where: Names the array in errors.
        chunks: The labels, (images, classes), some at a time.

    Raises:
        DatasetError: If a row is not 1 for one class and 0 for the others.
    """
    classes = [np.empty(0, np.int32)]
    for labels in chunks:
        is_one = labels == 1
        if not np.all((is_one | (labels == 0)).all(axis=1) & (is_one.sum(axis=1) == 1)):
            raise DatasetError(
                f"{where} has several columns that are not one-hot; expected (images,), the class"
                " index of each image: one class per image."
            )
        classes.append(is_one.argmax(axis=1).astype(np.int32))
    return np.concatenate(classes)


def check_training_labels(where: str, labels: np.ndarray) -> None:
    """Check that there are enough training images, and that classes are numbered without gaps.

    Raises:
        DatasetError: If there are too few images or classes, or a class has no image.
    """
    if len(labels) < MIN_IMAGES:
        raise DatasetError(
            f"{where} has {len(labels)} training images; expected at least {MIN_IMAGES}, because"
            " some are held out for validation."
        )
    present = np.unique(labels)
    if len(present) < 2:
        raise DatasetError(
            f"{where} has training images of class {present[0]} only; expected at least two"
            " classes."
        )
    if len(present) != present[-1] + 1:
        # The labels may be huge: look for the gap among the first few numbers only.
        [missing, *_] = np.setdiff1d(np.arange(min(present[-1], len(present)) + 1), present)
        raise DatasetError(
            f"{where} has {len(present)} classes numbered up to {present[-1]}, but no training"
            f" image of class {missing}; expected 0 to {len(present) - 1}. {_NUMBER_CLASSES}"
        )


def warn_of_missing_classes(
    name: str, classes: Sequence[object], labels: Mapping[str, np.ndarray]
) -> None:
    """Log a warning if a class has no image in a part: its errors do not count there.

    Args:
        name: The name of the data set.
        classes: The names of its classes, or their numbers.
        labels: The class indices of each part.
    """
    for part, each in labels.items():
        missing = np.setdiff1d(np.arange(len(classes)), each)
        if len(missing):
            _logger.warning(
                "%s: no %s image of class %s: errors of such classes do not count in the %s error.",
                name,
                part,
                listed(classes[number] for number in missing),
                part,
            )
