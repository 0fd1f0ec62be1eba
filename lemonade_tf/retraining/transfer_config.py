"""The settings of moving networks to other images and training them there (section 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lemonade_tf.config_checks import (
    ConfigError,
    as_image_size,
    check_choice,
    check_image_size,
    check_integer,
)
from lemonade_tf.datasets.names import parse_datasets
from lemonade_tf.retraining.retrain_config import RetrainConfig

Weights = Literal["inherited", "new"]


@dataclass(frozen=True)
class TransferConfig(RetrainConfig):
    """The settings of a transfer: those of training from scratch, and these.

    Attributes:
        dataset: The data set to move to, as for a search; required.
        image_size: Size to which pictures are scaled and cropped, as for a search.
        data_dir: Folder of official archives of data sets, as for a search.
        weights: What training starts from: "inherited", the weights of the run's networks where
            their shapes match, else new ones; or "new".
        threads: CPU threads per worker. Results depend on it in the last digits.
        recipe: Defaults of the training: "paper", the paper's for CIFAR (A.4.4), or "imagenet64",
            those of Chrabaszcz et al. (2017), which the paper uses on ImageNet64x64: 40 epochs,
            batches of 128, a learning rate that is divided by 5 every 10 epochs, crops and flips
            only.
        strategy: What several GPUs are for: "one_per_gpu" trains one network on each; "mirrored"
            divides the GPUs among the workers (by default, a single worker gets all) and splits
            each batch among the GPUs of a worker. The number of GPUs per network changes results
            in the last digits.

    Raises:
        ConfigError: If a value is out of range.
    """

    dataset: str | None = None
    image_size: tuple[int, ...] | None = None
    data_dir: str | None = None
    weights: Weights = "inherited"
    threads: int = 1

    @property
    def checked_dataset(self) -> str:
        """The data set.

        Raises:
            ConfigError: If none or several are given.
        """
        if self.dataset is None or len(parse_datasets(self.dataset)) > 1:
            raise ConfigError(
                f"--dataset is {self.dataset or 'missing'}; expected the data set to move to."
            )
        return self.dataset

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", as_image_size(self.image_size))
        super().__post_init__()
        check_image_size(self.image_size)
        check_choice("weights", self.weights, Weights)
        check_integer("threads", self.threads, 1)
        if self.strategy == "multi_worker":
            raise ConfigError(
                "--strategy is multi_worker, which only `retrain` supports; expected one_per_gpu or"
                " mirrored."
            )
