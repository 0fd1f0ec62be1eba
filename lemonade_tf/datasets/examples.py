"""Check arrays of images and labels, and convert them to the types that networks are trained on."""

from __future__ import annotations

from math import inf

import numpy as np

from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.errors import quoted

MIN_IMAGES = 10
_NUMBER_CLASSES = "Number the classes: numpy.unique(labels, return_inverse=True)[1]."


class ImageConverter:
    """Converts images to uint8 or float32, some at a time, and checks them.

    Args:
        where: Names the array in errors.
        shape: The shape of all images, (images, height, width, channels) or (images, height,
            width).
        dtype: Their type.

    Attributes:
        shape: (images, height, width, channels).
        dtype: The type of converted images, uint8 or float32.

    Raises:
        DatasetError: If such an array does not hold images.
    """

    def __init__(self, where: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape = (*shape, 1) if len(shape) == 3 else shape
        if len(self.shape) != 4 or not all(self.shape):
            raise DatasetError(
                f"{where} has shape {quoted(self.shape)}; expected (images, height, width,"
                " channels) or (images, height, width), all at least 1."
            )
        if dtype.kind not in "iuf":
            raise DatasetError(
                f"{where} has dtype {quoted(dtype)}; expected uint8 pixels from 0 to 255, or"
                " floats."
            )
        self.dtype = np.dtype(np.float32 if dtype.kind == "f" else np.uint8)
        self._where = where
        self._lowest, self._highest, self._num_not_finite = inf, -inf, 0

    def convert(self, images: np.ndarray) -> np.ndarray:
        """Convert some of the images."""
        if images.dtype.kind in "iu":
            self._lowest = min(self._lowest, int(images.min()))
            self._highest = max(self._highest, int(images.max()))
        with np.errstate(over="ignore"):
            images = images.astype(self.dtype, copy=False)
        if images.dtype.kind == "f":
            self._num_not_finite += np.count_nonzero(~np.isfinite(images))
        return images.reshape(-1, *self.shape[1:])

    def check(self) -> None:
        """Check the values of all images that have been converted.

        Raises:
            DatasetError: If they are not pixels.
        """
        if self._lowest < 0 or self._highest > 255:
            raise DatasetError(
                f"{self._where} has integers from {self._lowest} to {self._highest}; expected"
                " pixels from 0 to 255. Rescale them, or store them as floats."
            )
        if self._num_not_finite:
            raise DatasetError(
                f"{self._where} contains {self._num_not_finite} NaN or infinite values; expected"
                " finite pixels. Replace them, or remove their images."
            )


def check_labels(where: str, labels: np.ndarray) -> np.ndarray:
    """Convert class indices to int32 (images,).

    Args:
        where: Names the array in errors.
        labels: Non-negative integers, (images,) or (images, 1), in any numeric type.

    Raises:
        DatasetError: If the array does not hold class indices.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DatasetError(
            f"{where} has shape {quoted(labels.shape)}; expected (images,), the class index of"
            " each image. Convert one-hot labels with labels.argmax(axis=1)."
        )
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


def check_training_examples(where: str, labels: np.ndarray) -> None:
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
