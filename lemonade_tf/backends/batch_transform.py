"""Transforms of training batches: the interface through which augmentation enters the step.

NumPy draws the random numbers of a whole epoch on the host. What they do to the images is compiled
into the training step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np


class BatchTransform(ABC):
    """Transforms the batches of training; stateless."""

    @abstractmethod
    def draw(
        self, num_steps: int, batch_size: int, *, rng: np.random.Generator
    ) -> Mapping[str, np.ndarray]:
        """Draw the random numbers of an epoch: named arrays (num_steps, ...)."""

    @abstractmethod
    def apply(self, images: Any, targets: Any, draws: Mapping[str, Any]) -> tuple[Any, Any]:
        """Transform the batch of one step, with `keras.ops`; called once, to trace the step.

        Args:
            images: (batch, height, width, channels) float32, raw pixels.
            targets: (batch,) integer classes or (batch, classes) probabilities.
            draws: The random numbers of the step: the arrays of `draw` without the first axis.
        """


class NoAugmentation(BatchTransform):
    """Returns images and targets unchanged."""

    def draw(
        self, num_steps: int, batch_size: int, *, rng: np.random.Generator
    ) -> Mapping[str, np.ndarray]:
        """Return no random numbers."""
        return {}

    def apply(self, images: Any, targets: Any, draws: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return images and targets unchanged."""
        return images, targets


NO_AUGMENTATION = NoAugmentation()
