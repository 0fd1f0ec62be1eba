"""Read a file of CIFAR.

A file is a pickled dictionary. Its `data` are uint8 (images, 3072): the red plane of a 32 x 32
image row by row, then the green, then the blue. Its `labels`, in CIFAR-100 `fine_labels`, are class
indices. The number of images is arbitrary, so other images in this format can be read as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

import numpy as np

from lemonade_tf.datasets.dataset import Examples
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.pickles import read_pickle

_SIDE = 32  # pixels
_ROW = 3 * _SIDE**2
_CHUNK = 4096  # images converted from planes to pixels at a time
_MAX_NAMES = 8


def read_batch(
    file: IO[bytes], where: str, label_key: str, num_classes: int, archive: str
) -> Examples:
    """Read the images and labels of a file.

    Args:
        file: The opened file.
        where: Its name in errors.
        label_key: The key of the labels.
        num_classes: The number of classes.
        archive: The published archive that contains the file, for errors.

    Returns:
        Images, uint8 (n, 32, 32, 3), and labels, int32 (n,).

    Raises:
        DatasetError: If the file does not hold such images.
    """
    content = read_pickle(file, where)
    if not {"data", label_key} <= set(content):
        raise DatasetError(
            f"{where} has keys {names_in_line(sorted(content))}; expected data and {label_key}. If"
            f" it belongs to another data set, replace it with the file of {archive}."
        )
    rows = content["data"]
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8:
        kind = rows.dtype if isinstance(rows, np.ndarray) else type(rows).__name__
        raise DatasetError(
            f"{where} has data of type {kind}; expected a NumPy array of uint8 pixels."
        )
    if rows.ndim != 2 or rows.shape[1] != _ROW or len(rows) == 0:
        raise DatasetError(
            f"{where} has data of shape {rows.shape}; expected (images, {_ROW}), the red, green and"
            f" blue plane of {_SIDE} x {_SIDE} pixels, and at least one image."
        )
    labels = _labels(f"{where} has {label_key}", content[label_key], num_classes)
    if len(labels) != len(rows):
        raise DatasetError(
            f"{where} has {len(rows)} images and {len(labels)} {label_key}; expected one label per"
            " image. Download it again."
        )
    return _pixels(rows), labels


def _labels(where: str, labels: object, num_classes: int) -> np.ndarray:
    """Check labels, and convert them to int32 (n,)."""
    if isinstance(labels, np.ndarray) and labels.ndim == 1:
        labels = labels.tolist()
    if not isinstance(labels, list) or any(type(label) is not int for label in labels):
        raise DatasetError(
            f"{where} that are not a list of integers; expected a class index from 0 to"
            f" {num_classes - 1} per image."
        )
    for label in labels:
        if not 0 <= label < num_classes:
            raise DatasetError(
                f"{where} with the value {label}; expected 0 to {num_classes - 1}. Number the"
                " classes from 0, or use an .npz file."
            )
    return np.array(labels, np.int32)


def _pixels(rows: np.ndarray) -> np.ndarray:
    """Convert planes (n, 3072) to pixels (n, 32, 32, 3), in chunks to save memory."""
    images = np.empty((len(rows), _SIDE, _SIDE, 3), np.uint8)
    for start in range(0, len(rows), _CHUNK):
        planes = rows[start : start + _CHUNK].reshape(-1, 3, _SIDE, _SIDE)
        images[start : start + _CHUNK] = planes.transpose(0, 2, 3, 1)
    return images


def names_in_line(names: Iterable[str]) -> str:
    """Join the first few names for an error message."""
    names = list(names)
    more = [f"{len(names) - _MAX_NAMES} more"] if len(names) > _MAX_NAMES else []
    return ", ".join([" ".join(name.split()) for name in names[:_MAX_NAMES]] + more) or "nothing"
