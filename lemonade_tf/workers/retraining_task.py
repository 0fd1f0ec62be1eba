"""The task of training a network from scratch and its result, as plain values without Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lemonade_tf.executors import NamesFiles, TaskFiles


@dataclass(frozen=True)
class RetrainTask(NamesFiles):
    """A network to train from scratch.

    Attributes:
        id: Id of the network in the run.
        source: File of the network, for its architecture and its record; None if it has none.
        output: File to write.
        checkpoint: Checkpoint file; if it exists, training resumes from it.
        interval: Seconds between two checkpoints.
        weights_seed: Random seed of the new weights.
        training_seed: Random seed of the order of images, augmentation, dropout and
            regularization.
        settings: Everything besides the architecture that the training depends on, as plain
            values, its regularization among them; stored in the file.
        architecture: The architecture, as JSON of `architecture.text`, instead of that of the
            source: with a source, for other images and classes. Its weights are then inherited
            from the source where their shapes match.
        record: Without a source, the record of the network.
    """

    id: str
    source: str | None
    output: str
    checkpoint: str
    interval: float
    weights_seed: np.random.SeedSequence
    training_seed: np.random.SeedSequence
    settings: Mapping[str, Any] = field(default_factory=dict)
    architecture: str | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> TaskFiles:
        read = () if self.source is None else (self.source,)
        return TaskFiles(read, (self.output,), (self.checkpoint,))

    def with_paths(self, paths: Mapping[str, str]) -> RetrainTask:
        return replace(
            self,
            source=None if self.source is None else paths[self.source],
            output=paths[self.output],
            checkpoint=paths[self.checkpoint],
        )


@dataclass(frozen=True)
class FollowTask:
    """Train along with the chief of a cluster of machines, until it ends.

    Attributes:
        settings: As in the tasks of the chief.
    """

    settings: Mapping[str, Any]


@dataclass(frozen=True)
class EndTask:
    """Tell the other machines of a cluster that all networks are trained."""


@dataclass(frozen=True)
class RetrainResult:
    """The result of training a network from scratch.

    Attributes:
        id: Id of the network.
        test_error: Fraction of test images that it misclassifies; None if there are none, or if it
            failed.
        test_top5_error: Fraction of test images whose class is not among the five most probable;
            None if there are fewer than six classes, no test images, or if it failed.
        failure: Why there is no file, in one line; None on success.
        diverged: Whether it failed because a loss or a weight is not finite.
        remark: What the user should know about a successful training, in one line; None if nothing.
        losses: Mean loss of each epoch.
        resumed_at: Epochs that were already done, by the checkpoint.
        seconds: Seconds of training, without those lost in interruptions.
    """

    id: str
    test_error: float | None = None
    test_top5_error: float | None = None
    failure: str | None = None
    diverged: bool = False
    remark: str | None = None
    losses: tuple[float, ...] = ()
    resumed_at: int = 0
    seconds: float = 0.0
