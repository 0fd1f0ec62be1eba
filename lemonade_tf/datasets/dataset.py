"""Labeled images for training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lemonade_tf.architecture.layers import Rescaling

Examples = tuple[np.ndarray, np.ndarray]  # images and labels

_CHUNK = 4096  # images converted to float64 at a time
_FLOAT32_PRECISION = 1e-7


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labeled images in three parts.

    The search trains on the training images and compares networks by their validation error; the
    test images serve the networks of the final front only.

    Attributes:
        name: The name or path given to `load_dataset`.
        x_train: Raw pixels, uint8 or float32 (images, height, width, channels).
        y_train: Class indices, int32 (images,), from 0 to num_classes - 1.
        x_validation: Like `x_train`.
        y_validation: Like `y_train`.
        x_test: Like `x_train`; None without test images.
        y_test: Like `y_train`; None without test images.
        num_classes: The number of classes.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray | None
    y_test: np.ndarray | None
    num_classes: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of an image, (height, width, channels)."""
        height, width, channels = self.x_train.shape[1:]
        return height, width, channels

    def digest(self) -> str:
        """Return the SHA-256 of all images and labels, which identifies the data."""
        digest = hashlib.sha256()
        for array in (
            self.x_train,
            self.y_train,
            self.x_validation,
            self.y_validation,
            self.x_test,
            self.y_test,
        ):
            if array is not None:
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def rescaling(self) -> Rescaling:
        """Return the layer that standardizes each channel of the training images.

        Its output has mean 0 and standard deviation 1 per channel; a constant channel becomes 0.
        """
        mean = _channel_means(self.x_train, lambda pixels: pixels)
        deviation = np.sqrt(_channel_means(self.x_train, lambda pixels: (pixels - mean) ** 2))
        constant = deviation <= _FLOAT32_PRECISION * np.abs(mean)
        deviation = np.where(constant, 1.0, deviation)
        return Rescaling(scale=tuple(1 / deviation), offset=tuple(-mean / deviation))


def _channel_means(images: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Average a function of the pixels over each channel, in float64: (channels,)."""
    total = np.zeros(images.shape[-1])
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK].astype(np.float64)
        total += function(chunk).sum(axis=(0, 1, 2))
    return total / np.prod(images.shape[:3])
