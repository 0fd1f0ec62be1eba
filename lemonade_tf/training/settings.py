"""How children are trained (A.4.4): one value, set in one place."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

STARTS = ("fitted", "inherited", "random")


@dataclass(frozen=True)
class TrainingSettings:
    """How children are trained; the defaults are the paper's.

    Stochastic gradient descent with Nesterov's momentum, as in Loshchilov & Hutter (2017), whom
    the paper follows in this; the learning rate falls from `learning_rate` to 0 along a cosine.

    Weight decay adds weight_decay * kernel to the gradient of kernels. Biases, batch
    normalization and lambda of convex sums do not decay.

    The paper does not say how distillation is scheduled, nor when: here, once for each child made
    by an approximate operator, after all its operators, by the same optimizer with a cosine of its
    own over `distillation_epochs`. Its learning rate is a setting of its own, the paper's 0.01 for
    training: with batch normalization frozen, what a child can be trained at (0.05 on digits, say)
    makes distillation diverge. Distillation sees the images without augmentation, so the parent's
    softmax is computed once.

    Augmentation (see `augmentation`): pad and crop, flip, cutout, mixup.

    Attributes:
        epochs: Passes over the training images.
        distillation_epochs: Passes for distillation.
        batch_size: Images a step.
        learning_rate: Of the first step of training.
        distillation_learning_rate: Of the first step of distillation.
        momentum: In [0, 1).
        weight_decay: As above.
        pad: Pixels of padding on each side, before a crop of the images' size; 0 for no cropping.
        flip: Whether to flip images left to right, every other one.
        cutout: The side of the square that is cut out, in pixels; 0 for none.
        mixup: The alpha of the weights with which images are mixed; 0 for no mixing.
        statistics_images: The most images on which statistics of inserted batch normalizations
            are measured.
        approximate_start: From what approximate operators start, before distillation: "inherited",
            the parent's weights as far as they fit (see `operators`); "fitted", those brought
            nearest to the parent by least squares (see `fitted_start`); "random", new ones in all
            affected layers, as A.1 literally has it ("inherit all weights except the weights of
            the affected layers").
        fit_images: The most images on which they are fitted.
        distillation_memory: The most gigabytes for what the part that a child shares with its
            parent puts out for all training images, which is computed once for both; if it takes
            more, it is computed anew in every epoch.
        evaluation_batch_size: Images at a time in evaluation.
    """

    epochs: int = 20
    distillation_epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 0.01
    distillation_learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    pad: int = 0
    flip: bool = False
    cutout: int = 0
    mixup: float = 0.0
    statistics_images: int = 256
    approximate_start: str = "fitted"
    fit_images: int = 1024
    distillation_memory: float = 1.0
    evaluation_batch_size: int = 256

    def __post_init__(self) -> None:
        for name in ("epochs", "distillation_epochs", "pad", "cutout"):
            _require(self, name, getattr(self, name) >= 0, "an integer that is not negative")
        for name in ("batch_size", "statistics_images", "fit_images", "evaluation_batch_size"):
            _require(self, name, getattr(self, name) >= 1, "a positive integer")
        for name in ("learning_rate", "distillation_learning_rate"):
            _require(self, name, getattr(self, name) > 0, "a positive number")
        if self.approximate_start not in STARTS:
            raise ValueError(
                f"approximate_start is {self.approximate_start!r}; expected one of"
                f" {', '.join(STARTS)}."
            )
        memory = self.distillation_memory
        _require(self, "distillation_memory", memory >= 0, "a number that is not negative")
        _require(self, "mixup", self.mixup >= 0, "a number that is not negative")
        _require(self, "momentum", 0 <= self.momentum < 1, "a number in [0, 1)")
        _require(self, "weight_decay", self.weight_decay >= 0, "a number that is not negative")


def _require(settings: TrainingSettings, name: str, holds: bool, expected: str) -> None:
    value = getattr(settings, name)
    whole = "integer" not in expected or isinstance(value, int)
    if not (holds and whole and isfinite(value)):
        raise ValueError(f"{name} is {value!r}; expected {expected}.")
