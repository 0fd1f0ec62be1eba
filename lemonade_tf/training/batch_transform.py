"""What happens to a batch between the data set and the network: the place for augmentation.

Random numbers are drawn on the host, an epoch at a time, by NumPy; what they do to the images is
part of the compiled step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np


class BatchTransform(ABC):
    """Prepares the batches of training; has no state."""

    @abstractmethod
    def draw(
        self, num_steps: int, batch_size: int, *, rng: np.random.Generator
    ) -> Mapping[str, np.ndarray]:
        """Return the random numbers of an epoch: arrays (num_steps, ...) by name."""

    @abstractmethod
    def prepare(self, images: Any, targets: Any, draws: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return what one step trains on. Called once, to compile it: use `keras.ops`.

        Args:
            images: (batch, height, width, channels) float32, raw pixels.
            targets: (batch,) integer classes or (batch, classes) probabilities.
            draws: The random numbers of this step: the arrays of `draw`, without the first axis.
        """


class NoAugmentation(BatchTransform):
    """Leaves images and targets as they are."""

    def draw(
        self, num_steps: int, batch_size: int, *, rng: np.random.Generator
    ) -> Mapping[str, np.ndarray]:
        """Return nothing."""
        return {}

    def prepare(self, images: Any, targets: Any, draws: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return both."""
        return images, targets


NO_AUGMENTATION = NoAugmentation()
