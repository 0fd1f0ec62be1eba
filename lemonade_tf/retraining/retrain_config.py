"""The settings of training a front from scratch; the defaults are the paper's (A.4.4).

"All models are trained from scratch on the training and validation set with the same setup [as in
the search] except for 1) we train for 600 epochs and 2) the initial learning rate is set to 0.025."
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from lemonade_tf.config import (
    PAPER,
    ConfigError,
    ExecutorName,
    FlatConfig,
    check_choice,
    check_device_memory,
    check_gpus,
    check_integer,
)
from lemonade_tf.training.settings import TrainingSettings

RetrainStrategy = Literal["one_per_gpu", "mirrored", "multi_worker"]
PAPER_RETRAINING = replace(PAPER, epochs=600, learning_rate=0.025)


@dataclass(frozen=True)
class RetrainConfig(FlatConfig):
    """The settings of training the networks of a front from scratch.

    Attributes:
        training: How networks are trained. The augmentation of the run replaces the one given here.
        seed: Random seed. The result of a network depends on the seed and its id, not on which
            other networks are trained.
        workers: Worker processes. Defaults to as many as in a search, but at most one per network.
        device_memory: Gigabytes of a GPU that each worker may fill with training images; a larger
            data set stays on the host and streams. Defaults to a quarter of the GPU, divided among
            the workers that share it.
        cache_dir: Folder for the images of large data sets during the training: memory-mapped
            files, which all workers share. Defaults to that of the environment variable TMPDIR, or
            /var/tmp.
        executor: Where workers run, as in a search: "processes" or "ray".
        ray_address: Ray cluster, as in a search.
        gpus_per_child: With Ray, GPUs per network, as in a search.
        strategy: What several GPUs are for: "one_per_gpu" trains one network on each; "mirrored"
            divides the GPUs among the workers (by default, a single worker gets all) and splits
            each batch among the GPUs of a worker; "multi_worker" splits it among all GPUs of all
            machines in the environment variable TF_CONFIG, on each of which this command must run.
            The number of GPUs per network changes results in the last digits.

    Raises:
        ConfigError: If a value is out of range.
    """

    training: TrainingSettings = PAPER_RETRAINING
    seed: int = 0
    workers: int | None = None
    executor: ExecutorName = "processes"
    ray_address: str | None = None
    gpus_per_child: float | None = None
    strategy: RetrainStrategy = "one_per_gpu"
    device_memory: float | None = None
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        check_integer("epochs", self.training.epochs, 1)
        check_integer("seed", self.seed, 0)
        check_integer("workers", self.workers, 1, optional=True)
        check_choice("executor", self.executor, ExecutorName)
        check_gpus("gpus_per_child", self.gpus_per_child)
        for name in ("ray_address", "gpus_per_child"):
            if self.executor != "ray" and getattr(self, name) is not None:
                raise ConfigError(f"--{name} has no effect here; omit it, or use --executor ray.")
        check_device_memory(self.device_memory)
        check_choice("strategy", self.strategy, RetrainStrategy)
        uses_ray = self.executor == "ray"
        if self.strategy == "mirrored" and uses_ray and (self.gpus_per_child or 1) <= 1:
            raise ConfigError("--strategy has no effect here; omit it, or use --gpus_per_child 2.")
        if self.strategy == "multi_worker" and (self.workers or 1) > 1:
            raise ConfigError(
                f"--workers is {self.workers}; --strategy multi_worker trains one network at a time"
                " with one worker per machine. Omit --workers."
            )
        if self.strategy == "multi_worker" and self.executor != "processes":
            raise ConfigError(
                f"--executor is {self.executor}; --strategy multi_worker gets its machines from"
                " TF_CONFIG instead. Omit one of them."
            )
