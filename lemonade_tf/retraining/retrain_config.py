"""The settings of training a front from scratch; the defaults are the paper's (A.4.4).

"All models are trained from scratch on the training and validation set with the same setup [as in
the search] except for 1) we train for 600 epochs and 2) the initial learning rate is set to 0.025."
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from lemonade_tf.config import ConfigError


@dataclass(frozen=True)
class RetrainConfig:
    """How the networks of a front are trained from scratch; the defaults are the paper's.

    Augmentation and threads are those of the run.

    Args:
        epochs: Passes over the training and validation images.
        learning_rate: Of the first step; a cosine takes it to 0.
        batch_size: Images a training step.
        weight_decay: Its gradient is weight_decay * w, on kernels only.
        seed: Of everything random. What it makes of a network depends on the network's id alone,
            not on which others are trained.
        workers: Processes; by default one a GPU, or one a CPU core, but no more than networks.

    Raises:
        ConfigError: A value is out of range.
    """

    epochs: int = 600
    learning_rate: float = 0.025
    batch_size: int = 64
    weight_decay: float = 5e-4
    seed: int = 0
    workers: int | None = None

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "batch_size": 1, "seed": 0, "workers": 1}.items():
            value = getattr(self, name)
            if not isinstance(value, int) and not (name == "workers" and value is None):
                raise ConfigError(f"--{name} is {value!r}; expected a whole number.")
            if value is not None and value < least:
                raise ConfigError(f"--{name} is {value}; expected at least {least}.")
        if not 0 < self.learning_rate < inf:
            raise ConfigError(f"--learning_rate is {self.learning_rate}; expected more than 0.")
        if not 0 <= self.weight_decay < inf:
            raise ConfigError(f"--weight_decay is {self.weight_decay}; expected 0 or more.")
