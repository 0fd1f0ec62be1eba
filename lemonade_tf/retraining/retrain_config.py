"""The settings of training a front from scratch; the defaults are the paper's (A.4.4).

"All models are trained from scratch on the training and validation set with the same setup [as in
the search] except for 1) we train for 600 epochs and 2) the initial learning rate is set to 0.025."
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lemonade_tf.config import PAPER, FlatConfig, check_integer
from lemonade_tf.training.settings import TrainingSettings

PAPER_RETRAINING = replace(PAPER, epochs=600, learning_rate=0.025)


@dataclass(frozen=True)
class RetrainConfig(FlatConfig):
    """The settings of training the networks of a front from scratch.

    Attributes:
        training: How networks are trained. The augmentation of the run replaces the one given here.
        seed: Random seed. The result of a network depends on the seed and its id, not on which
            other networks are trained.
        workers: Worker processes. Defaults to one per GPU, or one per CPU core without GPUs, but at
            most one per network.

    Raises:
        ConfigError: If a value is out of range.
    """

    training: TrainingSettings = PAPER_RETRAINING
    seed: int = 0
    workers: int | None = None

    def __post_init__(self) -> None:
        check_integer("epochs", self.training.epochs, 1)
        check_integer("seed", self.seed, 0)
        check_integer("workers", self.workers, 1, optional=True)
