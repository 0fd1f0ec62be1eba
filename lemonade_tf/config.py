"""All settings of a search, and the presets that have names.

The defaults are the paper's (sections 5.1 and A.4.4): 100 generations of 200 proposed and 40
accepted children, 20 epochs each with batches of 64, SGD from a learning rate of 0.01 by cosine
to 0, weight decay 5e-4, crops after padding by 4, flips, cutout (16x16, DeVries and Taylor's size
for CIFAR-10; theirs for CIFAR-100 is 8) and mixup (alpha 1, Zhang et al.'s on CIFAR), 5 epochs of
distillation. That is 4,000 trained networks, 56 GPU-days in
the paper: not something to start on a laptop. A preset replaces some of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import inf
from pathlib import Path
from typing import Any

from lemonade_tf.objectives import objectives_named

SPACES = ("networks",)
SAMPLING = ("density", "uniform")


class ConfigError(ValueError):
    """A setting has a value that makes no sense; the message names the option."""


@dataclass(frozen=True)
class SearchConfig:
    """The settings of a search.

    Args:
        space: The search space: "networks" (section 5.1, space I).
        dataset: "digits", "cifar10", "cifar100", or the path of an .npz file with x_train, y_train
            (, x_test, y_test).
        data_dir: The folder with the files of CIFAR, which are fetched into it if they are not
            there; by default data in the current one.
        workdir: The folder of the run; by default a new one under runs/.
        objectives: What is minimised, by name; `error` and at least one cheap objective.
        num_generations: How many generations to evolve.
        num_proposed: Children proposed in a generation.
        num_accepted: Children of a generation that are trained.
        epochs: Epochs of training, of the initial networks too.
        distillation_epochs: Epochs of distillation after approximate operators (A.1).
        batch_size: Images a training step.
        learning_rate: Of the first step of training; a cosine takes it to 0.
        distillation_learning_rate: The same for distillation.
        weight_decay: Its gradient is weight_decay * w, on kernels only.
        pad: Augmentation: pixels of padding on each side before a random crop; 0 for none.
        flip: Augmentation: whether to flip every other image left to right.
        cutout: Augmentation: the side of the square that is cut out, in pixels; 0 for none.
        mixup: Augmentation: the alpha of the weights with which images are mixed; 0 for none.
        sampling: "density", the paper's, or "uniform", its baseline (A.2).
        max_redraws: How often a child that was met before is drawn again.
        max_hours: Ends the search when so many hours have passed; by default there is no limit.
            What is being trained then is finished first.
        seed: Of everything random.
        workers: Processes that train children; by default one a GPU, or one a CPU core.
        threads: CPU threads of each worker. A setting of the run: another number of threads sums
            in another order, and changes the last digits.

    Raises:
        ConfigError: A value is out of range; the message names the option, the value and what is
            expected.
    """

    space: str = "networks"
    dataset: str = "digits"
    data_dir: str | None = None
    workdir: str | None = None
    objectives: tuple[str, ...] = ("error", "parameters")
    num_generations: int = 100
    num_proposed: int = 200
    num_accepted: int = 40
    epochs: int = 20
    distillation_epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 0.01
    distillation_learning_rate: float = 0.01
    weight_decay: float = 5e-4
    pad: int = 4
    flip: bool = True
    cutout: int = 16
    mixup: float = 1.0
    sampling: str = "density"
    max_redraws: int = 10
    max_hours: float | None = None
    seed: int = 0
    workers: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives))
        try:
            objectives_named(self.objectives)
        except ValueError as error:
            raise ConfigError(f"--objectives: {error}") from None
        _one_of("space", self.space, SPACES)
        _one_of("sampling", self.sampling, SAMPLING)
        for name in ("num_proposed", "num_accepted", "epochs", "batch_size", "threads"):
            _at_least(name, getattr(self, name), 1)
        for name in (
            "num_generations",
            "distillation_epochs",
            "pad",
            "cutout",
            "max_redraws",
            "seed",
        ):
            _at_least(name, getattr(self, name), 0)
        if self.workers is not None:
            _at_least("workers", self.workers, 1)
        if self.num_accepted > self.num_proposed:
            raise ConfigError(
                f"--num_accepted is {self.num_accepted}, more than --num_proposed,"
                f" {self.num_proposed}; children are accepted from those proposed."
            )
        for name in ("learning_rate", "distillation_learning_rate"):
            if not 0 < getattr(self, name) < inf:
                raise ConfigError(f"--{name} is {getattr(self, name)}; expected more than 0.")
        for name in ("weight_decay", "mixup"):
            if not 0 <= getattr(self, name) < inf:
                raise ConfigError(f"--{name} is {getattr(self, name)}; expected 0 or more.")
        if self.max_hours is not None and not self.max_hours > 0:
            raise ConfigError(f"--max_hours is {self.max_hours}; expected more than 0.")

    def as_json(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**plain, "objectives": list(self.objectives)}


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"--{name} is {value!r}; expected one of {', '.join(known)}.")


def _at_least(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"--{name} is {value!r}; expected a whole number of at least {least}.")


# --- Presets ---------------------------------------------------------------------------------

# Digits are 8x8 pixels, and a mirrored or a mixed digit is none.
_DIGITS = {"dataset": "digits", "pad": 0, "flip": False, "cutout": 0, "mixup": 0.0}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The paper's search, space I. 56 GPU-days of 2018.
    "paper": {},
    # scikit-learn's digits in about three minutes on two CPU cores.
    "digits": {
        **_DIGITS,
        "num_generations": 10,
        "num_proposed": 80,
        "num_accepted": 16,
        "epochs": 4,
        "distillation_epochs": 2,
    },
    # Whether it runs at all: some seconds.
    "quick": {
        **_DIGITS,
        "num_generations": 2,
        "num_proposed": 12,
        "num_accepted": 3,
        "epochs": 2,
        "distillation_epochs": 1,
    },
}


def preset_for(dataset: str) -> str:
    """Return the preset that is used for a data set when none is named."""
    return "digits" if dataset == "digits" else "paper"


def make_config(preset: str | None = None, **settings: Any) -> SearchConfig:
    """Return a preset's settings with some of them replaced.

    Args:
        preset: A name in `PRESETS`; by default `preset_for` the data set.
        **settings: Arguments of `SearchConfig`.

    Raises:
        ConfigError: There is no such preset, or a value is out of range.
    """
    if preset is None:
        preset = preset_for(settings.get("dataset", SearchConfig.dataset))
    if preset not in PRESETS:
        raise ConfigError(f"--preset is {preset!r}; expected one of {', '.join(PRESETS)}.")
    return replace(SearchConfig(), **{**PRESETS[preset], **settings})


def default_workdir(dataset: str, root: str | Path = "runs") -> Path:
    """Return the first of runs/NAME-1, runs/NAME-2, ... that does not exist."""
    stem = Path(dataset).stem or "run"
    number = 1
    while (Path(root) / f"{stem}-{number}").exists():
        number += 1
    return Path(root) / f"{stem}-{number}"
