"""Labeled images for training, validation and test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lemonade_tf.architecture.layers import Rescaling
from lemonade_tf.datasets.channel_statistics import channel_statistics

Examples = tuple[np.ndarray, np.ndarray]  # images and labels

_DIGEST_CHUNK = 4096  # images
_FLOAT32_PRECISION = 1e-7


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labeled images in three parts.

    The search trains on the training images and compares networks by their validation error; the
    test images serve the networks of the final front only.

    Attributes:
        name: The name or path given to `load_dataset`.
        x_train: Raw pixels from 0 to 255, uint8 or float32 (images, height, width, channels).
        y_train: Class indices, int32 (images,), from 0 to num_classes - 1.
        x_validation: Like `x_train`.
        y_validation: Like `y_train`.
        x_test: Like `x_train`; None without test images.
        y_test: Like `y_train`; None without test images.
        num_classes: The number of classes.
        class_names: The names of the classes in the order of their indices; None if it has none.
        known_rescaling: What `rescaling` returns, if it is not to be computed from `x_train`.
        known_digest: What `digest` returns, if it is not to be computed, because that takes
            minutes.

    Arrays may be memory maps of files larger than the memory: nothing here copies one of them.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray | None
    y_test: np.ndarray | None
    num_classes: int
    class_names: tuple[str, ...] | None = None
    known_rescaling: Rescaling | None = None
    known_digest: str | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of an image, (height, width, channels)."""
        height, width, channels = self.x_train.shape[1:]
        return height, width, channels

    def digest(self) -> str:
        """Return the SHA-256 of all images and labels, which identifies the data."""
        if self.known_digest is not None:
            return self.known_digest
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
                for start in range(0, len(array), _DIGEST_CHUNK):
                    part = array[start : start + _DIGEST_CHUNK]
                    digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def in_files(self) -> dict[str, list[str]]:
        """Return what the file of a network records of its data set: `class_names`, if any."""
        return {} if self.class_names is None else {"class_names": list(self.class_names)}

    def rescaling(self) -> Rescaling:
        """Return the layer that standardizes each channel of the training images.

        Its output has mean 0 and standard deviation 1 per channel; a constant channel becomes 0.
        """
        if self.known_rescaling is not None:
            return self.known_rescaling
        return self._computed_rescaling

    @cached_property
    def _computed_rescaling(self) -> Rescaling:
        mean, deviation = channel_statistics(self.x_train)
        constant = deviation <= _FLOAT32_PRECISION * np.abs(mean)
        deviation = np.where(constant, 1.0, deviation)
        return Rescaling(scale=tuple(1 / deviation), offset=tuple(-mean / deviation))
