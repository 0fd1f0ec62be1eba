"""A network to train from scratch and what became of it, as plain values; needs no Keras.

The counterpart of `task` for what follows a search; `retraining`, which does the work, is imported
only in the processes where it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lemonade_tf.training.settings import TrainingSettings

# What a worker needs, to be imported once, before workers are forked.
PRELOAD = ("lemonade_tf.workers.retraining",)


@dataclass(frozen=True)
class RetrainTask:
    """A network to train from scratch; plain values, which pickle.

    Attributes:
        id: The network's name in the run.
        source: Its file in the run, of which the architecture and the record are used.
        output: The file to write.
        checkpoint: The file from which the training goes on if it is there.
        interval: Seconds between two checkpoints.
        weights_seed: Seeds the new weights.
        training_seed: Seeds the order of images, the augmentation and dropout.
        settings: All that the training depends on beside the architecture, as plain values; kept
            in the file.
    """

    id: str
    source: str
    output: str
    checkpoint: str
    interval: float
    weights_seed: np.random.SeedSequence
    training_seed: np.random.SeedSequence
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RetrainResult:
    """What became of a network.

    Attributes:
        id: Its name.
        test_error: The share of test images it gets wrong; None if there are none, or it failed.
        failure: Why it has no file, in one line; None if all went well.
        remark: What the user should know though all went well, in one line; None if nothing.
        losses: The mean loss of each epoch.
        resumed_at: The epochs that were there already, from a checkpoint.
        seconds: How long its training took, without what was lost in between.
    """

    id: str
    test_error: float | None = None
    failure: str | None = None
    remark: str | None = None
    losses: tuple[float, ...] = ()
    resumed_at: int = 0
    seconds: float = 0.0


def start_retraining(
    dataset: str, data_dir: str | None, settings: TrainingSettings, threads: int
) -> Callable[[RetrainTask], RetrainResult]:
    """Set up this process for training from scratch; see `retraining.setup_retraining`."""
    from lemonade_tf.workers.retraining import setup_retraining

    return setup_retraining(dataset, settings, data_dir=data_dir, threads=threads)
