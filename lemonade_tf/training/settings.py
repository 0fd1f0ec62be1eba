"""How children are trained (A.4.4): one value, set in one place."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True)
class TrainingSettings:
    """How children are trained; the defaults are the paper's.

    Stochastic gradient descent with Nesterov's momentum, as in Loshchilov & Hutter (2017), whom
    the paper follows in this; the learning rate falls from `learning_rate` to 0 along a cosine.

    Weight decay adds weight_decay * kernel to the gradient of kernels. Biases, batch
    normalization and lambda of convex sums do not decay.

    The paper does not say how distillation is scheduled, nor when: here, once for each child made
    by an approximate operator, after all its operators, and like training: the same optimizer
    and, over `distillation_epochs`, the same cosine.

    Attributes:
        epochs: Passes over the training images.
        distillation_epochs: Passes for distillation.
        batch_size: Images a step.
        learning_rate: Of the first step.
        momentum: In [0, 1).
        weight_decay: As above.
        statistics_images: The most images on which statistics of inserted batch normalizations
            are measured.
        evaluation_batch_size: Images at a time in evaluation.
    """

    epochs: int = 20
    distillation_epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    statistics_images: int = 256
    evaluation_batch_size: int = 256

    def __post_init__(self) -> None:
        for name in ("epochs", "distillation_epochs"):
            _require(self, name, getattr(self, name) >= 0, "an integer that is not negative")
        for name in ("batch_size", "statistics_images", "evaluation_batch_size"):
            _require(self, name, getattr(self, name) >= 1, "a positive integer")
        _require(self, "learning_rate", self.learning_rate > 0, "a positive number")
        _require(self, "momentum", 0 <= self.momentum < 1, "a number in [0, 1)")
        _require(self, "weight_decay", self.weight_decay >= 0, "a number that is not negative")


def _require(settings: TrainingSettings, name: str, holds: bool, expected: str) -> None:
    value = getattr(settings, name)
    whole = "integer" not in expected or isinstance(value, int)
    if not (holds and whole and isfinite(value)):
        raise ValueError(f"{name} is {value!r}; expected {expected}.")
