"""The training settings (A.4.4): one value with one set of defaults, which other settings contain.

The optimizer is stochastic gradient descent with Nesterov momentum, as in Loshchilov & Hutter
(2017), whom the paper follows. Step t of T has the learning rate

    learning_rate * (1 + cos(pi t / T)) / 2        (cosine decay to 0, without restarts)

or, with the schedule "step", in epoch e from 0 on,

    learning_rate * decay_factor ** (e // decay_epochs)

Weight decay adds weight_decay * kernel to the gradient of kernels. Biases, batch normalization and
the lambda of convex sums do not decay.

The paper does not specify how distillation is scheduled. Here each child made by an approximate
operator is distilled once, after all its operators, by the same optimizer with its own cosine over
`distillation_epochs`. The learning rate of distillation is a separate setting because batch
normalization is frozen in distillation: a rate that suits training (0.05 on digits, for example)
makes distillation diverge. Distillation uses no augmentation, so that the parent's softmax is
computed once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal, Self, get_args, get_type_hints

from lemonade_tf.backends.base import JitCompile, Precision
from lemonade_tf.setting_checks import Settings, check_type

ClassWeights = Literal["none", "balanced"]
Start = Literal["fitted", "inherited", "random"]
Schedule = Literal["cosine", "step"]
STARTS: tuple[Start, ...] = get_args(Start)
_CHOICES = {
    "approximate_start": STARTS,
    "schedule": get_args(Schedule),
    "class_weights": get_args(ClassWeights),
    "jit_compile": get_args(JitCompile),
    "precision": get_args(Precision),
}

_COUNTS = {
    "epochs": 0,
    "distillation_epochs": 0,
    "batch_size": 1,
    "decay_epochs": 1,
    "pad": 0,
    "cutout": 0,
    "statistics_images": 1,
    "fit_images": 1,
    "evaluation_batch_size": 1,
}
BY_IMAGE_SIZE = ("pad", "cutout")  # their defaults depend on it
_POSITIVE = ("learning_rate", "distillation_learning_rate")
_NOT_NEGATIVE = ("weight_decay", "mixup", "distillation_memory")


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """How networks are trained. The defaults are the paper's for CIFAR-10.

    Attributes:
        epochs: Epochs of training.
        distillation_epochs: Epochs of distillation after approximate operators; 0 for none.
        batch_size: Images per training step.
        learning_rate: Initial learning rate of training.
        schedule: How the learning rate of training decays: "cosine", to 0, or "step", by
            decay_factor after every decay_epochs epochs.
        decay_epochs: With the schedule "step", epochs after which the learning rate decays.
        decay_factor: With the schedule "step", the factor by which it is multiplied, in (0, 1].
        distillation_learning_rate: Initial learning rate of distillation; cosine decay to 0.
        momentum: Momentum, in [0, 1).
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: Weight decay factor of kernels; other weights do not decay.
        pad: Augmentation: pixels of padding on each side before a random crop; 0 for no crop.
            Defaults to an eighth of the images' shorter side, rounded down: the paper's 4 of 32.
        flip: Augmentation: whether to mirror images left to right with probability 1/2.
        cutout: Augmentation: side of the square that Cutout erases, in pixels; 0 for none.
            Defaults to half of the images' shorter side, rounded down: its authors' 16 of 32 for
            CIFAR-10; theirs for CIFAR-100 is 8.
        mixup: Augmentation: both parameters of the Beta distribution of mixup's weights; 0 for no
            mixup. The default is its authors' value for CIFAR.
        class_weights: Weights of the classes in the training loss: "none", each image counts the
            same, or "balanced", each class does: its images are drawn as often as those of any
            other, however many it has.
        statistics_images: Maximum number of training images on which the statistics of inserted
            batch normalizations are measured.
        approximate_start: Weights that approximate operators start from, before distillation:
            "inherited", the parent's where they fit; "fitted", these fitted to the parent's outputs
            by least squares (see `inheritance`); "random", new weights in the layers that they
            affected, as in A.1 ("inherit all weights except the weights of the affected layers").
        fit_images: Maximum number of training images on which layers are fitted.
        distillation_memory: Gigabytes that a worker may use to cache the outputs of the part that
            parent and child share, for all training images. If they need more, every epoch of
            distillation recomputes them.
        evaluation_batch_size: Images per batch in evaluation.
        jit_compile: Whether XLA compiles the training of a network: "always", "never", or "auto",
            on a GPU if it saves more time than it takes, judged by the networks trained so far.
            Results differ in the last digits.
        precision: Precision of the multiplications in training steps: "float32"; "tf32", which
            rounds factors to 10 bits on NVIDIA GPUs with tensor cores and equals float32 elsewhere;
            "bfloat16" (8 bits), faster on GPUs with tensor cores, slower on CPUs. Weights, batch
            normalization and logits are float32 in training, and so is everything outside of
            training steps, such as errors and saved files.

    Raises:
        ValueError: If a value is out of range.
    """

    epochs: int = 20
    distillation_epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 0.01
    schedule: Schedule = "cosine"
    decay_epochs: int = 10
    decay_factor: float = 0.2
    distillation_learning_rate: float = 0.01
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    pad: int | None = None
    flip: bool = True
    cutout: int | None = None
    mixup: float = 1.0
    class_weights: ClassWeights = "none"
    statistics_images: int = 256
    approximate_start: Start = "fitted"
    fit_images: int = 1024
    distillation_memory: float = 1.0
    evaluation_batch_size: int = 256
    jit_compile: JitCompile = "auto"
    precision: Precision = "tf32"

    def __post_init__(self) -> None:
        self._use_plain_numbers()
        for name, least in _COUNTS.items():
            if name in BY_IMAGE_SIZE and getattr(self, name) is None:
                continue
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            self._require(name, whole and value >= least, f"an integer of at least {least}")
        hints = get_type_hints(TrainingSettings)
        for name in ("flip", "momentum", *_POSITIVE, *_NOT_NEGATIVE):
            check_type(name, getattr(self, name), hints[name])
        for name in _POSITIVE:
            self._require(name, _is_finite(self, name) and getattr(self, name) > 0, "more than 0")
        for name in _NOT_NEGATIVE:
            self._require(name, _is_finite(self, name) and getattr(self, name) >= 0, "at least 0")
        self._require("decay_factor", 0 < self.decay_factor <= 1, "a number in (0, 1]")
        self._require("momentum", 0 <= self.momentum < 1, "a number in [0, 1)")
        for name, known in _CHOICES.items():
            self._require(name, getattr(self, name) in known, f"one of {', '.join(known)}")

    def for_images(self, input_shape: tuple[int, int, int]) -> Self:
        """Return the settings with the defaults that depend on the size of the images.

        Args:
            input_shape: (height, width, channels).
        """
        side = min(input_shape[:2])
        return replace(
            self,
            pad=side // 8 if self.pad is None else self.pad,
            cutout=side // 2 if self.cutout is None else self.cutout,
        )

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; expected {expected}.")


def _is_finite(settings: Any, name: str) -> bool:
    return isfinite(getattr(settings, name))
