"""All settings of a search, and the presets that have names.

The defaults are the paper's (sections 5.1 and A.4.4): 100 generations of 200 proposed and 40
accepted children, 20 epochs each with batches of 64, SGD from a learning rate of 0.01 by cosine
to 0, weight decay 5e-4, crops after padding by 4, flips, cutout (16x16, DeVries and Taylor's size
for CIFAR-10; theirs for CIFAR-100 is 8) and mixup (alpha 1, Zhang et al.'s on CIFAR), 5 epochs of
distillation. That is 4,000 trained networks, 56 GPU-days in
the paper: not something to start on a laptop. A preset replaces some of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf
from pathlib import Path
from typing import Any

from lemonade_tf.datasets.dataset_error import DatasetNameError
from lemonade_tf.datasets.names import join_datasets, parse_datasets
from lemonade_tf.errors import LemonadeError
from lemonade_tf.latency import PROTOCOLS, WAYS
from lemonade_tf.objectives import (
    ObjectiveError,
    is_error_on,
    limits_of,
    objectives_named,
    objectives_of,
    with_errors,
)
from lemonade_tf.training.settings import STARTS

SPACES = ("networks", "cells")
SAMPLING = ("density", "uniform")
# What may be given anew when a search is resumed: nothing that a result depends on.
MAY_CHANGE = (
    "data_dir",
    "workdir",
    "num_generations",
    "max_hours",
    "max_child_hours",
    "latency_protocol",
    "keep_all",
    "tensorboard",
    "workers",
)


class ConfigError(LemonadeError, ValueError):
    """A setting has a value that makes no sense; the message names the option."""

    exit_status = 2


@dataclass(frozen=True)
class SearchConfig:
    """The settings of a search.

    Args:
        space: The search space: "networks" or "cells" (section 5.1, spaces I and II).
        filters: Of space "cells": F, the filters in the last of three blocks, of the initial
            networks; multiples of 4, at least 16.
        cells_per_block: Of space "cells": n, the cells in each block; one more comes between two.
        dataset: "digits", "cifar10", "cifar100", or the path of an .npz file with x_train, y_train
            (, x_test, y_test). Several of the same image size, separated by commas, or a tuple in
            Python: every network is trained on each, and its errors are different objectives.
        data_dir: The folder with the files of CIFAR, which are fetched into it if they are not
            there; by default data in the current one.
        workdir: The folder of the run; by default a new one under runs/.
        objectives: What is minimised, by name; `error` and at least one cheap objective. One of
            your own is MODULE:NAME, an `Objective` in a module of the current folder, or installed.
            Of several data sets, `error` is that on the first, and `error_NAME` that on each other
            one, also where it is not named here.
        limit: Bounds on cheap objectives, as parameters=1e6,multiply_adds=50e6; a mapping in
            Python. A network beyond one is not trained: a child is drawn again, an initial network
            left out. They need not be among the objectives that are minimised; by default there
            are none.
        scale: On which scale the density, the hypervolume and the plots take an objective, as
            parameters=linear; a mapping in Python. "log" where factors matter, "linear" where
            differences do; by default what the objective says of itself.
        num_generations: How many generations to evolve.
        num_proposed: Children proposed in a generation.
        num_accepted: Children of a generation that are trained.
        epochs: Epochs of training, of the initial networks too.
        distillation_epochs: Epochs of distillation after approximate operators (A.1).
        batch_size: Images a training step.
        learning_rate: Of the first step of training; a cosine takes it to 0.
        distillation_learning_rate: The same for distillation.
        approximate_start: From what approximate operators start: "fitted", the parent's weights
            brought nearest to it by least squares; "inherited", as far as they fit; "random", new
            ones in all affected layers.
        distillation_memory: Gigabytes, for each worker, for what a child shares with its parent
            and what then need not be computed in every epoch of distillation.
        weight_decay: Its gradient is weight_decay * w, on kernels only.
        pad: Augmentation: pixels of padding on each side before a random crop; 0 for none.
        flip: Augmentation: whether to flip every other image left to right.
        cutout: Augmentation: the side of the square that is cut out, in pixels; 0 for none.
        mixup: Augmentation: the alpha of the weights with which images are mixed; 0 for none.
        sampling: "density", the paper's, or "uniform", its baseline (A.2).
        max_redraws: How often a child that was met before, or is beyond a limit, is drawn again;
            after that, the first is trained once more, as in the paper, the other left out.
        max_hours: Ends the search when so many hours have passed, counted anew when it is resumed;
            by default there is no limit. What is being trained then is finished first.
        max_child_hours: A child that takes longer is a failure, and its worker is replaced, so that
            one that hangs does not hold up the search. inf for no limit.
        latency_table: The folder of a former run whose measured table `latency` and `lite_latency`
            are foretold from, so that runs can be compared; by default one is measured, which takes
            half a minute to two minutes each.
        latency_protocol: How the inference times of the front's networks are measured: "default",
            the median of as many passes as it wants to be exact within 1 %, for a second at most;
            or "paper", the mean of 5,000 passes (A.3).
        initial_run: The folder of a run whose front is what this search begins with, instead of
            the space's initial networks; on the same data or on other.
        keep_all: Whether to keep the file of every network that was trained, rather than those of
            the front.
        tensorboard: Whether to write summaries for TensorBoard into the run folder.
        seed: Of everything random.
        workers: Processes that train children; by default one a GPU, or one a CPU core. More than
            there are GPUs share them, so that one builds a child while another trains.
        threads: CPU threads of each worker. A setting of the run: another number of threads sums
            in another order, and changes the last digits.

    Raises:
        ConfigError: A value is out of range; the message names the option, the value and what is
            expected.
    """

    space: str = "networks"
    filters: tuple[int, ...] = (128, 256)
    cells_per_block: int = 2
    dataset: str = "digits"
    data_dir: str | None = None
    workdir: str | None = None
    objectives: tuple[str, ...] = ("error", "parameters")
    limit: Mapping[str, float] = field(default_factory=dict)
    scale: Mapping[str, str] = field(default_factory=dict)
    num_generations: int = 100
    num_proposed: int = 200
    num_accepted: int = 40
    epochs: int = 20
    distillation_epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 0.01
    distillation_learning_rate: float = 0.01
    approximate_start: str = "fitted"
    distillation_memory: float = 1.0
    weight_decay: float = 5e-4
    pad: int = 4
    flip: bool = True
    cutout: int = 16
    mixup: float = 1.0
    sampling: str = "density"
    max_redraws: int = 10
    max_hours: float | None = None
    max_child_hours: float | None = 12.0
    latency_table: str | None = None
    latency_protocol: str = "default"
    initial_run: str | None = None
    keep_all: bool = False
    tensorboard: bool = False
    seed: int = 0
    workers: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", join_datasets(self.dataset))
        try:
            object.__setattr__(self, "objectives", with_errors(self.objectives, self.dataset))
        except DatasetNameError as error:
            raise ConfigError(f"--dataset: {error}") from None
        object.__setattr__(self, "filters", tuple(self.filters))
        object.__setattr__(self, "limit", dict(self.limit))
        object.__setattr__(self, "scale", dict(self.scale))
        for name, check in (
            ("objectives", _check_objectives),
            ("scale", objectives_of),
            ("limit", limits_of),
        ):
            try:
                check(vars(self))
            except ObjectiveError as error:
                raise ConfigError(f"--{name}: {error}") from None
        self._check_words()
        self._check_counts()
        self._check_amounts()

    def _check_words(self) -> None:
        _one_of("space", self.space, SPACES)
        _one_of("sampling", self.sampling, SAMPLING)
        _one_of("latency_protocol", self.latency_protocol, tuple(PROTOCOLS))
        _one_of("approximate_start", self.approximate_start, STARTS)

    def _check_counts(self) -> None:
        for name in (
            "cells_per_block",
            "num_proposed",
            "num_accepted",
            "epochs",
            "batch_size",
            "threads",
        ):
            _at_least(name, getattr(self, name), 1)
        if not self.filters or any(f % 4 or f < 16 for f in self.filters):
            raise ConfigError(
                f"--filters is {self.filters}; expected numbers of filters in the last of three"
                " blocks, multiples of 4 and at least 16."
            )
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

    def _check_amounts(self) -> None:
        for name in ("learning_rate", "distillation_learning_rate"):
            if not 0 < getattr(self, name) < inf:
                raise ConfigError(f"--{name} is {getattr(self, name)}; expected more than 0.")
        for name in ("weight_decay", "mixup", "distillation_memory"):
            if not 0 <= getattr(self, name) < inf:
                raise ConfigError(f"--{name} is {getattr(self, name)}; expected 0 or more.")
        for name in ("max_hours", "max_child_hours"):
            hours = getattr(self, name)
            if hours is not None and not hours > 0:
                raise ConfigError(f"--{name} is {hours}; expected more than 0, or inf.")
            if hours == inf:
                object.__setattr__(self, name, None)

    def as_json(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**plain, "objectives": list(self.objectives), "filters": list(self.filters)}


def _check_objectives(settings: Mapping[str, Any]) -> None:
    objectives_named(settings["objectives"])
    objectives_of({**settings, "scale": {}})


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"--{name} is {value!r}; expected one of {', '.join(known)}.")


def _at_least(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"--{name} is {value!r}; expected a whole number of at least {least}.")


# --- Presets ---------------------------------------------------------------------------------

# Digits are 8x8 pixels, and a mirrored or a mixed digit is none.
_DIGITS = {
    "dataset": "digits",
    "filters": (32, 64),
    "pad": 0,
    "flip": False,
    "cutout": 0,
    "mixup": 0.0,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The paper's search, in either space. 56 GPU-days of 2018.
    "paper": {},
    # scikit-learn's digits in about five minutes on two CPU cores.
    "digits": {
        **_DIGITS,
        "num_generations": 10,
        "num_proposed": 80,
        "num_accepted": 16,
        "epochs": 4,
        "distillation_epochs": 2,
    },
    # Cells on the same digits, some 100 networks.
    "digits_cells": {
        **_DIGITS,
        "space": "cells",
        "num_generations": 8,
        "num_proposed": 60,
        "num_accepted": 12,
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


def preset_for(dataset: str | Iterable[str], space: str = "networks") -> str:
    """Return the preset that is used for a data set and a space when none is named.

    Of several data sets, the first counts.
    """
    if parse_datasets(join_datasets(dataset))[0] != "digits":
        return "paper"
    return "digits_cells" if space == "cells" else "digits"


def make_config(preset: str | None = None, **settings: Any) -> SearchConfig:
    """Return a preset's settings with some of them replaced.

    Args:
        preset: A name in `PRESETS`; by default `preset_for` the data set and the space.
        **settings: Arguments of `SearchConfig`.

    Raises:
        ConfigError: There is no such preset, a value is out of range, or a setting would have no
            effect.
    """
    if preset is None:
        preset = preset_for(
            settings.get("dataset", SearchConfig.dataset), settings.get("space", SearchConfig.space)
        )
    if preset not in PRESETS:
        raise ConfigError(f"--preset is {preset!r}; expected one of {', '.join(PRESETS)}.")
    config = replace(SearchConfig(), **{**PRESETS[preset], **settings})
    check_effects(config, settings)
    return config


def check_effects(config: SearchConfig, given: Iterable[str]) -> None:
    """Refuse a setting that was given and has no effect, as it was meant to have one.

    Args:
        config: All settings.
        given: The names of those that were given.

    Raises:
        ConfigError: One has no effect; the message says with what it would have.
    """
    named = {*config.objectives, *config.limit}
    for names, has_effect, mend in (
        (("filters", "cells_per_block"), config.space == "cells", "choose --space cells"),
        (
            ("latency_table", "latency_protocol"),
            bool(named & set(WAYS)),
            f"name one of {', '.join(WAYS)} among --objectives",
        ),
    ):
        for name in names:
            if name in given and not has_effect:
                raise ConfigError(f"--{name} has no effect here; leave it out, or {mend}.")


def resumed_config(before: Mapping[str, Any], given: Mapping[str, Any]) -> SearchConfig:
    """Return the settings to go on with a search.

    Args:
        before: Its settings so far, as in its config.json.
        given: Settings that were given again; those not given stay.

    Raises:
        ConfigError: A setting is given that would change the search's results; the message lists
            all of them.
    """
    known = [field.name for field in fields(SearchConfig)]
    settings = {name: before[name] for name in known if name in before}
    settings = {"limit": {}, "scale": {}, **settings}  # what an older run has none of
    merged = {**settings, **given}
    if join_datasets(merged["dataset"]) != settings["dataset"] and "objectives" not in given:
        # Those that are errors on other data sets follow from what these are.
        merged["objectives"] = [n for n in settings["objectives"] if not is_error_on(n)]
    given = SearchConfig(**merged)
    changed = [
        f"--{name} was {_shown(settings[name])}, now {_shown(value)}"
        for name, value in given.as_json().items()
        if name in settings and name not in MAY_CHANGE and value != settings[name]
    ]
    if changed:
        raise ConfigError(
            f"the search cannot be gone on with under other settings: {'; '.join(changed)}. Leave"
            " them out, or choose another --workdir for a new search. Only"
            f" {', '.join(f'--{name}' for name in MAY_CHANGE)} may change."
        )
    return given


def _shown(value: Any) -> Any:
    """Return a setting as it is written in the command."""
    if not isinstance(value, Mapping):
        return value
    return ",".join(f"{name}={setting}" for name, setting in value.items()) or "none"


def default_workdir(dataset: str, root: str | Path = "runs") -> Path:
    """Return the first of runs/NAME-1, runs/NAME-2, ... that does not exist."""
    stem = "-".join(Path(name).stem for name in parse_datasets(dataset)) or "run"
    number = 1
    while os.path.lexists(Path(root) / f"{stem}-{number}"):
        number += 1
    return Path(root) / f"{stem}-{number}"
