"""The settings of training a front from scratch; the defaults are the paper's (see `recipes`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from lemonade_tf.architecture.regularization import Regularization
from lemonade_tf.config import ExecutorName, FlatConfig
from lemonade_tf.config_checks import (
    ConfigError,
    check_choice,
    check_device_memory,
    check_gpus,
    check_integer,
)
from lemonade_tf.retraining.recipes import RECIPES, Recipe
from lemonade_tf.training.settings import TrainingSettings

RetrainStrategy = Literal["one_per_gpu", "mirrored", "multi_worker"]


@dataclass(frozen=True)
class RetrainConfig(FlatConfig):
    """The settings of training the networks of a front from scratch.

    Attributes:
        training: How networks are trained. With the recipe "paper", the augmentation of the run
            replaces the one given here.
        recipe: Defaults of the training: "paper", the paper's for CIFAR (A.4.4), with the
            augmentation of the search; or "imagenet64", those of Chrabaszcz et al. (2017), which
            the paper uses on ImageNet64x64: 40 epochs, batches of 128, a learning rate that is
            divided by 5 every 10 epochs, crops and flips only.
        shake_shake: Regularization: whether each mean of two branches is a random combination of
            them in each training step, per image, and another one in the backward pass (Gastaldi,
            2017). For networks that `augment --shake_shake` wrote.
        drop_path: Regularization: probability at the end of the training with which each path into
            a sum or concatenation is dropped, per image (ScheduledDropPath of Zoph et al., 2018);
            it grows linearly from 0. 0 for none.
        seed: Random seed. The result of a network depends on the seed and its id, not on which
            other networks are trained.
        workers: Worker processes. Defaults to as many as in a search, but at most one per network.
        device_memory: Gigabytes of a GPU that each worker may fill with training images; a larger
            data set stays on the host and streams. Defaults to a quarter of the GPU, divided among
            the workers that share it.
        cache_dir: Folder for the images of large data sets during the training: memory-mapped
            files, which all workers share. Defaults to that of the search, or if there is none, to
            that of the environment variable TMPDIR, or /var/tmp.
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

    training: TrainingSettings = RECIPES["paper"]
    recipe: Recipe = "paper"
    shake_shake: bool = False
    drop_path: float = 0.0
    seed: int = 0
    workers: int | None = None
    executor: ExecutorName = "processes"
    ray_address: str | None = None
    gpus_per_child: float | None = None
    strategy: RetrainStrategy = "one_per_gpu"
    device_memory: float | None = None
    cache_dir: str | None = None

    @property
    def regularization(self) -> Regularization:
        """What acts on the branches of a network in training."""
        return Regularization(self.shake_shake, self.drop_path)

    @classmethod
    def from_flat(cls, settings: Mapping[str, Any]) -> Self:
        """Build a config from settings side by side; those that are not given are the recipe's.

        Raises:
            ConfigError: If a name is unknown, a value is out of range, or a setting has no effect.
        """
        config = super().from_flat(settings)
        for name in ("decay_epochs", "decay_factor"):
            if name in settings and config.training.schedule != "step":
                raise ConfigError(f"--{name} has no effect here; omit it, or use --schedule step.")
        return config

    @classmethod
    def _default_training(cls, settings: Mapping[str, Any]) -> TrainingSettings:
        recipe = settings.get("recipe", cls.recipe)
        check_choice("recipe", recipe, Recipe)
        return RECIPES[recipe]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("epochs", self.training.epochs, 1)
        check_integer("seed", self.seed, 0)
        if not 0 <= self.drop_path < 1:
            raise ConfigError(f"--drop_path is {self.drop_path}; expected a number in [0, 1).")
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
