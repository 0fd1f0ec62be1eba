"""What a worker is asked and what it answers, as plain values; needs no Keras.

The driver of a search makes tasks and reads results; `child` and `worker`, which do the work, are
imported only in the processes where it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lemonade_tf.latency.measuring_task import MeasuringTask
from lemonade_tf.training.settings import TrainingSettings

# What a worker needs, to be imported once, before workers are forked.
PRELOAD = ("lemonade_tf.workers.worker",)


@dataclass(frozen=True)
class ChildTask:
    """A child to train; plain values, which pickle.

    Attributes:
        id: The child's name in the run.
        operators: The records of the operators that make it of its parent, for `replay`.
        output: The file to write.
        weights_seed: Seeds new weights.
        training_seed: Seeds the order of images, and dropout.
        parent_file: The parent's file. None for an initial network, which comes as
        architecture: JSON of `architecture.text`; its weights are drawn, or inherited from
            `parent_file` where they fit, if both are given.
        record: Plain values to keep in the file: the lineage.
        objectives: The expensive objectives to measure, by name, beside the error.
        data: What the data set is called that it is trained on; None for the first.
        further: The same child on the other data sets.
    """

    id: str
    operators: tuple[Mapping[str, Any], ...]
    output: str
    weights_seed: np.random.SeedSequence
    training_seed: np.random.SeedSequence
    parent_file: str | None = None
    architecture: str | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    data: str | None = None
    further: tuple[ChildTask, ...] = ()

    def __post_init__(self) -> None:
        if self.parent_file is None and self.architecture is None:
            raise ValueError(
                f"child {self.id!r} has neither a parent_file nor an architecture; expected one."
            )


@dataclass(frozen=True)
class ChildResult:
    """What became of a child.

    Attributes:
        id: Its name.
        error: The share of validation images it gets wrong; None if it failed.
        test_error: Of test images; None if there are none.
        failure: Why there is no error, in one line; None if all went well.
        seconds: Wall-clock seconds of each phase it came to ("compile" is not part of "distill"
            and "train"), and "total", to which an attempt that did not fit into memory belongs.
        losses: The mean loss of each epoch of training.
        distillation_losses: Of distillation.
        epsilon: Equation 9, "before" and "after" distillation, each as "cross_entropy" and "kl"
            (see `training.epsilon`); None if there was no distillation.
        epochs: How many epochs of training it had.
        batch_size: Images of a step; half of what was asked for where that did not fit into memory.
        num_images: How many images went through training and distillation.
        images_per_second: How many of them a second, compiling left out; None if there were none.
        parameters: Its number of parameters; None if it failed before that was known.
        multiply_adds: Its multiply-adds for one image.
        measured: Expensive objectives that were asked for beside the error, by what they are
            called.
        further: What became of it on the other data sets, by what these are called.
    """

    id: str
    error: float | None = None
    test_error: float | None = None
    failure: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    losses: tuple[float, ...] = ()
    distillation_losses: tuple[float, ...] = ()
    epsilon: Mapping[str, Mapping[str, float]] | None = None
    epochs: int = 0
    batch_size: int | None = None
    num_images: int = 0
    images_per_second: float | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    further: Mapping[str, ChildResult] = field(default_factory=dict)


@dataclass(frozen=True)
class TimingTask:
    """A network to be timed; see `timing`.

    Attributes:
        architecture: JSON of `architecture.text`.
        objectives: The expensive objectives to measure, by name, beside the error.
    """

    architecture: str
    objectives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timing:
    """What a network takes, in seconds.

    Attributes:
        fixed: Once on a data set: build the model, compile its training and its evaluation, write
            its file and read it.
        step: A training step of a batch.
        image: The evaluation of an image.
        measuring: Once: the objectives that are measured beside the error.
    """

    fixed: float
    step: float
    image: float
    measuring: float = 0.0


@dataclass(frozen=True)
class ObjectiveTask:
    """An objective to be prepared before a search; see `measuring.prepare_objective`.

    Attributes:
        name: The objective, as in the settings.
        architectures: The initial networks, as JSON of `architecture.text`.
        space: The name of the search space.
        threads: CPU threads of a worker.
        seed: Of the search.
    """

    name: str
    architectures: tuple[str, ...]
    space: str
    threads: int
    seed: int


Task = ChildTask | TimingTask | ObjectiveTask | MeasuringTask


def start_worker(
    dataset: str, data_dir: str | None, settings: TrainingSettings, threads: int
) -> Callable[[Task], Any]:
    """Set up this process for training children; see `worker.setup_worker`."""
    from lemonade_tf.workers.worker import setup_worker

    return setup_worker(dataset, settings, data_dir=data_dir, threads=threads)
