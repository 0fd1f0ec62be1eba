"""The tasks of a search and their results, as plain values that pickle and need no Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lemonade_tf.executors import NamesFiles, TaskFiles
from lemonade_tf.latency.measuring_task import MeasuringTask
from lemonade_tf.training.settings import TrainingSettings


@dataclass(frozen=True)
class ChildTask(NamesFiles):
    """A network to train: a child, or an initial network.

    Attributes:
        id: Id of the network in the run.
        operators: Records of the operators that create it from its parent, or from `architecture`,
            for `replay`.
        output: File to write.
        weights_seed: Random seed of new weights.
        training_seed: Random seed of the order of images, augmentation and dropout.
        parent_file: File of the parent, or of the network that an initial network starts from.
        architecture: JSON of what an initial network is made of (see `architecture.text`); None
            for a child. Its weights are inherited from `parent_file`, if there is one, where they
            fit, else new.
        record: Plain values to store in the file: the lineage.
        objectives: Names of the expensive objectives to measure besides the error.
        dataset: Name of the extra data set to train on; None for the first data set.
        extra_datasets: The same network on each extra data set.
        settings: The training settings; None for those that the worker was set up with.
        num_images: Training images to use, of each class the same share; None for all.

    Raises:
        ValueError: If there is neither a parent file nor an architecture.
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
    dataset: str | None = None
    extra_datasets: tuple[ChildTask, ...] = ()
    settings: TrainingSettings | None = None
    num_images: int | None = None

    def __post_init__(self) -> None:
        if self.parent_file is None and self.architecture is None:
            raise ValueError(
                f"task {self.id!r} has neither parent_file nor architecture; expected at least one."
            )

    @property
    def files(self) -> TaskFiles:
        read = () if self.parent_file is None else (self.parent_file,)
        own = TaskFiles(read=read, written=(self.output,))
        return TaskFiles.union([own, *(extra.files for extra in self.extra_datasets)])

    def with_paths(self, paths: Mapping[str, str]) -> ChildTask:
        return replace(
            self,
            output=paths[self.output],
            parent_file=None if self.parent_file is None else paths[self.parent_file],
            extra_datasets=tuple(extra.with_paths(paths) for extra in self.extra_datasets),
        )


@dataclass(frozen=True)
class ChildResult:
    """The result of training a network.

    Attributes:
        id: Id of the network.
        error: Fraction of validation images that it misclassifies; None if it failed.
        ranked_error: The same with ties broken by the cross-entropy (`ranked_error_rate`); None if
            it failed.
        test_error: The error on test images; None if there are none.
        failure: Why there is no error, in one line; None on success.
        seconds: Wall-clock seconds of each phase that was reached, and "total", which includes an
            attempt that ran out of memory. "distill" and "train" do not include compiling
            ("compile") and waiting for other processes on the same GPU ("wait").
        losses: Mean loss of each epoch of training.
        distillation_losses: Mean loss of each epoch of distillation.
        epsilon: Equation 9, "before" and "after" distillation, each as "cross_entropy" and "kl"
            (see `training.epsilon`); None without distillation.
        epochs: Epochs of training.
        batch_size: Images per step; half of the setting if that ran out of memory.
        num_images: Images processed in training and distillation.
        images_per_second: Speed of training and distillation, without compiling and waiting; None
            if no images were processed.
        parameters: Number of parameters; None if the network failed before it was built.
        multiply_adds: Multiply-adds per image; None as above.
        measured: Expensive objectives besides the error, by name.
        extra_datasets: Results on the extra data sets, by name.
    """

    id: str
    error: float | None = None
    ranked_error: float | None = None
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
    extra_datasets: Mapping[str, ChildResult] = field(default_factory=dict)


@dataclass(frozen=True)
class TimingTask:
    """A network whose training and evaluation are timed; see `timing`.

    Attributes:
        architecture: JSON of `architecture.text`.
        objectives: Names of the expensive objectives to measure besides the error.
    """

    architecture: str
    objectives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timing:
    """Seconds that the parts of training and evaluating a network take.

    Attributes:
        fixed: Once per data set: build the model, compile training and evaluation, write and read
            the file.
        step: Per training step.
        image: Per evaluated image.
        measuring: Once: measure the objectives besides the error.
    """

    fixed: float
    step: float
    image: float
    measuring: float = 0.0


@dataclass(frozen=True)
class ObjectiveTask:
    """An objective to prepare before a search; see `measured_objectives.prepare_objective`.

    Attributes:
        name: Name of the objective in the settings.
        architectures: The initial networks, as JSON of `architecture.text`.
        space: Name of the search space.
        threads: CPU threads per worker.
        seed: Random seed of the search.
        progress_file: Where to write how many networks are measured, and of how many; None if the
            worker is on another machine than the search.
        max_seconds: How long the measurements may take; None for any time.
    """

    name: str
    architectures: tuple[str, ...]
    space: str
    threads: int
    seed: int
    progress_file: str | None = None
    max_seconds: float | None = None


@dataclass(frozen=True)
class SizeTask(NamesFiles):
    """A trained network whose int8 sizes are measured; see `export.measured_sizes.file_sizes`.

    Attributes:
        id: Its id.
        file: Its file.
    """

    id: str
    file: str

    @property
    def files(self) -> TaskFiles:
        return TaskFiles(read=(self.file,))

    def with_paths(self, paths: Mapping[str, str]) -> SizeTask:
        return replace(self, file=paths[self.file])


Task = ChildTask | TimingTask | ObjectiveTask | MeasuringTask | SizeTask
