"""Check arrays of images, and convert them to the types that networks are trained on."""

from __future__ import annotations

from math import isqrt

import numpy as np

from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.pixel_range import PixelRange
from lemonade_tf.errors import quoted

_MAX_CHANNELS_FIRST, _MIN_SIDE, _MAX_ASPECT = 4, 8, 4  # of images that begin with the channels


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
        range: The range of the images that have been converted.

    Raises:
        DatasetError: If such an array does not hold images.
    """

    def __init__(self, where: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape = (*shape, 1) if len(shape) == 3 else shape
        if len(self.shape) != 4 or not all(self.shape):
            raise DatasetError(
                f"{where} has shape {quoted(self.shape)}; expected (images, height, width,"
                f" channels) or (images, height, width), all at least 1.{_reshaped(shape)}"
            )
        if _has_channels_first(self.shape):
            raise DatasetError(
                f"{where} has shape {self.shape}, which looks like (images, channels, height,"
                " width); expected (images, height, width, channels). Store"
                " x.transpose(0, 2, 3, 1)."
            )
        if dtype.kind not in "iuf":
            remedy = " Store x * numpy.uint8(255)." if dtype.kind == "b" else ""
            raise DatasetError(
                f"{where} has dtype {quoted(dtype)}; expected pixels from 0 to 255, integers or"
                f" floats.{remedy}"
            )
        self.dtype = np.dtype(np.float32 if dtype.kind == "f" else np.uint8)
        self.range = PixelRange(where)
        self._where, self._num_not_finite = where, 0

    def convert(self, images: np.ndarray) -> np.ndarray:
        """Convert some of the images."""
        before = images
        with np.errstate(over="ignore"):
            images = images.astype(self.dtype, copy=False)
        if images.dtype.kind == "f":
            before = images
            self._num_not_finite += np.count_nonzero(~np.isfinite(images))
        if not self._num_not_finite:
            self.range.update(before)
        return images.reshape(-1, *self.shape[1:])

    def check(self) -> None:
        """Check the values of all images that have been converted.

        Raises:
            DatasetError: If they are not pixels.
        """
        if self._num_not_finite:
            raise DatasetError(
                f"{self._where} contains {self._num_not_finite} NaN or infinite values; expected"
                " finite pixels. Replace them, or remove their images."
            )
        self.range.check()


def _has_channels_first(shape: tuple[int, ...]) -> bool:
    """Return whether images rather have their channels first: few, of about square images."""
    _, channels, *sides = shape
    few, large = channels <= _MAX_CHANNELS_FIRST, min(sides) >= _MIN_SIDE
    return few and large and max(sides) <= _MAX_ASPECT * min(sides)


def _reshaped(shape: tuple[int, ...]) -> str:
    """Return how to reshape flattened images, if they may be square."""
    for channels in (1, 3):
        side = isqrt(shape[1] // channels) if len(shape) == 2 else 0
        if side > 1 and side**2 * channels == shape[1]:
            return f" Reshape them: x.reshape(-1, {side}, {side}, {channels})."
    return ""
