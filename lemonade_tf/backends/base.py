"""What training needs of a backend, and the choice of it.

Everything else in this package is NumPy and Keras; a compiled training step exists once for each
backend, in a file named for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from lemonade_tf.training.batch_transform import NO_AUGMENTATION, BatchTransform
from lemonade_tf.training.settings import TrainingSettings

Inputs = np.ndarray | list[np.ndarray]


class Backend(ABC):
    """Compiles and runs on one backend; has no state."""

    @abstractmethod
    def place(self, array: np.ndarray) -> Any:
        """Return an array on the device where models run."""

    @abstractmethod
    def trainer(
        self, model: keras.Model, settings: TrainingSettings, preparation: BatchTransform
    ) -> Trainer:
        """Return a trainer of the weights that are trainable now, its momentum at zero."""

    @abstractmethod
    def forward(self, model: keras.Model) -> Forward:
        """Return the compiled model, in inference."""

    @abstractmethod
    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether an exception says that the memory of host or device does not suffice."""


class Trainer(ABC):
    """Trains a model epoch by epoch, compiled once.

    Attributes:
        num_traces: How often the step was traced to compile it.
        seconds_compiling: How long that took.
    """

    num_traces: int = 0
    seconds_compiling: float = 0.0

    @abstractmethod
    def run_epoch(
        self,
        images: Any,
        targets: Any,
        indices: np.ndarray,
        learning_rates: np.ndarray,
        draws: Mapping[str, np.ndarray],
    ) -> float:
        """Take a step of stochastic gradient descent for each row of `indices`.

        The loss is the cross-entropy between targets and the softmax of what the model puts out.
        Steps end early at a loss that is not finite.

        Args:
            images: (n, height, width, channels), on the device; or a list of what the model reads
                instead, each (n, ...).
            targets: (n,) integer classes or (n, classes) probabilities, on the device.
            indices: (steps, batch_size) int32: the images of each step.
            learning_rates: (steps,) float32.
            draws: Random numbers for the preparation, arrays (steps, ...).

        Returns:
            The mean loss of the steps; not finite if one of them was not.
        """

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Return copies of what steps change: weights, momenta, the generators of dropout."""

    @abstractmethod
    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to what `state` returned, for this model or another one of the same graph.

        Raises:
            ValueError: It is the state of another model.
        """


class Forward(ABC):
    """A model in inference, compiled once for batches of any size.

    It takes images, (batch, height, width, channels), or a list of what else the model reads.

    Attributes:
        num_traces: How often it was traced.
    """

    num_traces: int = 0

    @abstractmethod
    def probabilities(self, images: Inputs) -> np.ndarray:
        """Return the softmax of what the model puts out: (batch, classes)."""

    @abstractmethod
    def outputs(self, images: Inputs) -> list[np.ndarray]:
        """Return what a model of one or several outputs puts out: each (batch, ...)."""


def backend() -> Backend:
    """Return the backend that Keras runs on.

    Raises:
        NotImplementedError: It has no training step here.
    """
    name = keras.backend.backend()
    if name != "tensorflow":
        raise NotImplementedError(
            f"there is no training step for Keras's {name} backend; set KERAS_BACKEND=tensorflow"
            " before Keras is imported."
        )
    from lemonade_tf.backends.training_tensorflow import TensorFlow

    return TensorFlow()


def compile_trainer(
    model: keras.Model, settings: TrainingSettings, preparation: BatchTransform = NO_AUGMENTATION
) -> Trainer:
    """Return a trainer of the weights of a model that are trainable now."""
    return backend().trainer(model, settings, preparation)
