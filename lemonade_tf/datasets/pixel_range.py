"""The range of pixels: networks take raw pixels from 0 to 255, and rescale them themselves.

So a saved network needs no side knowledge. Images that have been rescaled before, to 0 to 1, to -1
to 1 or to mean 0, are refused: their networks would take other values than the pixels of a picture.
"""

from __future__ import annotations

from math import inf

import numpy as np

from lemonade_tf.datasets.dataset_error import DatasetError

_MAX_PIXEL = 255
_CLOSE = 64  # so far beyond 0 to 255, interpolation is a likely cause
_OTHER_HIGHEST, _OTHER_MEAN = 8, 4  # ratios of the pixels of two parts in different ranges


class PixelRange:
    """Follows the range of images, some at a time, and checks it.

    Args:
        where: Names the images in errors.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._lowest, self._highest, self._sum, self._count = inf, -inf, 0.0, 0

    def update(self, images: np.ndarray) -> None:
        """Include finite images."""
        self._lowest = min(self._lowest, float(images.min()))
        self._highest = max(self._highest, float(images.max()))
        self._sum += float(images.sum(dtype=np.float64))
        self._count += images.size

    def check(self) -> None:
        """Check that the images are raw pixels.

        Raises:
            DatasetError: If they are not.
        """
        low, high = self._lowest, self._highest
        if low < 0 or high > _MAX_PIXEL or low < high <= 1:
            raise DatasetError(
                f"{self._where} has pixels from {self}; expected raw pixels from 0 to 255, which"
                f" networks rescale themselves. {self._remedy()}"
            )

    def check_same(self, training: PixelRange) -> None:
        """Check that the images are in the range of the training images.

        The range of a few dark images may be smaller; the mean tells them from another unit.

        Raises:
            DatasetError: If they are not.
        """
        for larger, smaller in ((self, training), (training, self)):
            is_other = larger._highest > _OTHER_HIGHEST * smaller._highest
            if is_other and larger._mean > _OTHER_MEAN * smaller._mean:
                raise DatasetError(
                    f"{self._where} has pixels from {self}, the training images from {training};"
                    " expected the same range in both. Rescale the images alike."
                )

    @property
    def _mean(self) -> float:
        return self._sum / self._count

    def __str__(self) -> str:
        return f"{self._lowest:.6g} to {self._highest:.6g}"

    def _remedy(self) -> str:
        if self._lowest >= 0 and self._highest <= 1:
            return "Multiply them by 255."
        if self._lowest >= -1 and self._highest <= 1:
            return "Store (x + 1) * 127.5 instead."
        if self._lowest >= -_CLOSE and 127 < self._highest <= _MAX_PIXEL + _CLOSE:
            return "Clip them: numpy.clip(x, 0, 255)."
        return "Store the original pixels, or rescale all images alike to that range."
