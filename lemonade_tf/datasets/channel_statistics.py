"""The mean and the standard deviation of each channel of images, reading some images at a time.

The sums of bytes and of their squares are integers, which are exact in any order: for 64 images
they stay below 2^24, where float32 is exact, and for all images below 2^53, where float64 is. With
n values per channel,

    mean = sum / n        variance = (n * sum of squares - sum^2) / n^2

which Python's integers compute without cancellation. Floats need a second pass for the variance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_BYTE_IMAGES = 64  # at a time
_FLOAT_IMAGES = 4096  # at a time, if they are small; the sums depend on it in the last digits
_FLOAT_VALUES = _FLOAT_IMAGES * 32 * 32 * 3


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of each channel, in float64: (channels,) each.

    Args:
        images: uint8 or float32, (images, height, width, channels).
    """
    count = int(np.prod(images.shape[:3]))
    if images.dtype != np.uint8:
        mean = _sum_over(images, lambda pixels: pixels) / count
        return mean, np.sqrt(_sum_over(images, lambda pixels: (pixels - mean) ** 2) / count)
    sums, squares = _sums_of_bytes(images)
    pairs = list(zip(sums, squares, strict=True))
    mean = np.array([total / count for total, _ in pairs])
    variance = [(count * square - total**2) / count**2 for total, square in pairs]
    return mean, np.sqrt(variance)


def _sums_of_bytes(images: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the sum of the values of each channel, and of their squares."""
    row_size = int(np.prod(images.shape[1:]))
    sums, squares = np.zeros(row_size), np.zeros(row_size)
    for start in range(0, len(images), _BYTE_IMAGES):
        rows = images[start : start + _BYTE_IMAGES].reshape(-1, row_size).astype(np.float32)
        sums += np.ones(len(rows), np.float32) @ rows
        squares += np.einsum("ij,ij->j", rows, rows)
    return _per_channel(sums, images.shape[-1]), _per_channel(squares, images.shape[-1])


def _per_channel(values: np.ndarray, num_channels: int) -> list[int]:
    return [sum(map(int, values[channel::num_channels])) for channel in range(num_channels)]


def _sum_over(images: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Sum a function of the values over each channel, in float64."""
    size = max(1, min(_FLOAT_IMAGES, _FLOAT_VALUES // int(np.prod(images.shape[1:]))))
    total = np.zeros(images.shape[-1])
    for start in range(0, len(images), size):
        chunk = images[start : start + size].astype(np.float64)
        total += function(chunk).sum(axis=(0, 1, 2))
    return total
