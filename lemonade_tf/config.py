"""The settings of a search.

The defaults are the paper's (sections 5.1 and A.4.4), those of training included: 100 generations
with 200 proposed and 40 accepted children each, 4,000 trained networks in all. That took the paper
56 GPU-days; presets are smaller.

In Python, `SearchConfig` contains the `TrainingSettings`. On the command line, in `search(...)` and
in config.json all settings lie side by side; `from_flat` and `as_json` convert.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf
from typing import Any, Literal, Self, get_type_hints

from lemonade_tf.config_checks import (
    ConfigError,
    as_image_size,
    as_paths,
    check_choice,
    check_device_memory,
    check_durations,
    check_gpus,
    check_image_size,
    check_integer,
    check_widths,
)
from lemonade_tf.datasets.dataset_error import DatasetNameError
from lemonade_tf.datasets.names import join_datasets
from lemonade_tf.errors import did_you_mean
from lemonade_tf.objectives.boards import limits_with_board
from lemonade_tf.objectives.dataset_errors import with_dataset_errors
from lemonade_tf.objectives.lookup import find_objectives, run_limits, run_objectives
from lemonade_tf.objectives.objective import Objective, ObjectiveError
from lemonade_tf.setting_checks import Settings, check_type
from lemonade_tf.training.settings import TrainingSettings

Space = Literal["networks", "cells"]
Sampling = Literal["density", "uniform", "improvement"]
TieBreak = Literal["none", "cross_entropy"]
Inheritance = Literal["parent", "none"]
Strategy = Literal["one_per_gpu", "mirrored"]
Mode = Literal["generational", "asynchronous"]
LatencyProtocol = Literal["default", "paper"]
ExecutorName = Literal["processes", "ray"]

PAPER = TrainingSettings()
TRAINING = tuple(each.name for each in fields(TrainingSettings))


@dataclass(frozen=True)
class FlatConfig(Settings):
    """A config that contains `TrainingSettings` and converts from and to settings side by side.

    Attributes:
        training: How networks are trained.
    """

    training: TrainingSettings = PAPER

    def __post_init__(self) -> None:
        self._use_plain_numbers()
        hints = get_type_hints(type(self))
        for name, value in vars(self).items():
            # What counts is checked with its range, and data sets when they are loaded.
            if hints[name] not in (int, int | None) and name != "dataset":
                try:
                    check_type(name, value, hints[name])
                except ValueError as error:
                    raise ConfigError(f"--{error}") from None

    @classmethod
    def _unknown(cls, name: str, known: list[str]) -> str:
        if name not in TRAINING:
            return super()._unknown(name, known)
        return (
            f"{cls.__name__} has {name!r} in its settings of training: pass"
            f" training=TrainingSettings({name}=...), or use {cls.__name__}.from_flat."
        )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all settings, those of training among them."""
        own = [each.name for each in fields(cls) if each.name != "training"]
        return (*own, *TRAINING)

    @classmethod
    def from_flat(cls, settings: Mapping[str, Any]) -> Self:
        """Build a config from settings side by side.

        Raises:
            ConfigError: If a name is unknown or a value is out of range.
        """
        for name in settings:
            if name not in cls.names():
                near = did_you_mean(name, cls.names())
                hint = near or f"; known: {', '.join(cls.names())}."
                raise ConfigError(f"there is no setting {name!r}{hint}")
        own = {name: value for name, value in settings.items() if name not in TRAINING}
        given = {name: value for name, value in settings.items() if name in TRAINING}
        try:
            training = replace(cls._default_training(own), **given)
        except ValueError as error:  # its message starts with the name
            raise ConfigError(f"--{error}") from None
        return cls(training=training, **own)

    @classmethod
    def _default_training(cls, settings: Mapping[str, Any]) -> TrainingSettings:
        """Return the defaults of training, which may depend on other settings."""
        return cls.training

    def as_json(self) -> dict[str, Any]:
        """Return all settings side by side, as JSON values."""
        flat = {**vars(self), **vars(self.training)}
        return {
            name: list(flat[name]) if isinstance(flat[name], tuple) else flat[name]
            for name in self.names()
        }


@dataclass(frozen=True)
class SearchConfig(FlatConfig):
    """The settings of a search.

    Attributes:
        space: Search space: "networks" or "cells" (spaces I and II of section 5.1).
        filters: For space "cells": filters F in the last of the three blocks, one initial network
            per value; multiples of 4, at least 16.
        cells_per_block: For space "cells": number n of cells per block; one more lies between two
            blocks.
        initial_width: For space "networks": width multiplier of the initial networks. By default 1,
            the paper's 15,000 to 400,000 parameters; 0.25 gives each a quarter of the filters.
        width_multiple: Number of which every number of filters that an operator widens or prunes
            becomes a multiple; 8 suits the matrix units of GPUs and NPUs. By default 1, as in the
            paper.
        dataset: "digits", "cifar10", "cifar100", "imagenet16", "imagenet32", "imagenet64",
            or the path of: a folder of class folders with pictures (PNG, JPEG, WebP, BMP), perhaps
            in folders train, validation and test; a .zip of one; or an .npz file with x_train, raw
            pixels from 0 to 255, and y_train (optional: x_val, y_val, x_test, y_test). tfds:NAME is
            a data set of TensorFlow Datasets, if installed. Several data sets of one image size are
            separated by commas, or are a tuple in Python: every network is trained on each of them,
            and each of its errors is an objective.
        image_size: Size to which pictures are scaled and cropped: a side, such as 64, or
            HEIGHTxWIDTH. Defaults to their median size, scaled down to at most 64 pixels, or, if
            their aspect ratios vary, to a square.
        training_images: Number of training images to use, of each class the same share; by default,
            all of them.
        data_dir: Folder with the CIFAR archives, which are downloaded into it if they are missing,
            and with the folder imagenet64. Defaults to ./data.
        cache_dir: Folder for the images of large data sets during the search: memory-mapped files,
            which all workers share. Defaults to that of the environment variable TMPDIR, or
            /var/tmp. Pictures are converted once into a folder there, which stays.
        workdir: Run folder. Defaults to a new folder in runs/.
        objectives: Objectives to minimize: error, at least one cheap objective (parameters,
            multiply_adds, file_bytes, int8_bytes, int8_arena, peak_memory, latency, lite_latency,
            int8_latency) and any of top5_error, balanced_error (the mean over classes) and
            int8_error. Custom objectives: MODULE:NAME, an `Objective` in a module of the current
            folder or in an installed one. With several data sets, error is that on the first; the
            error_NAME of each other data set is added if it is missing.
        limit: Upper limits of cheap objectives, such as parameters=1e6,multiply_adds=50e6, or a
            mapping in Python. Networks over a limit are not trained: a child is resampled, an
            initial network is skipped; if all of them are over it, narrower ones are made. A limit
            applies to any cheap objective, minimized or not.
        board: Microcontroller that all networks must fit in int8: esp32, esp32-s3, nano33, rp2040,
            rp2350, stm32f4, stm32h7, or a .json or .toml file with its flash and ram in bytes. It
            sets limits of int8_bytes and int8_arena, unless these are given.
        scale: Scale of an objective in the density, the hypervolume and the plots, such as
            parameters=linear, or a mapping in Python: "log" if ratios matter, "linear" if
            differences do. Defaults to the scale that the objective defines.
        operators: Operators that make children, such as prune_filters,separate_convolution, instead
            of all six (with --space networks). Custom ones: MODULE:NAME, an `Operator` in a module.
        num_generations: Generations to evolve.
        num_proposed: Children proposed per generation.
        num_accepted: Children trained per generation.
        sampling: How parents and accepted children are sampled: "density", the paper's method,
            "uniform", its baseline (A.2), or "improvement", which goes beyond the paper: children
            are accepted by how much they promise to improve the front, per training time.
        tie_break: What decides between networks that misclassify the same number of validation
            images: "none", as in the paper, or "cross_entropy", which goes beyond it: the network
            with the lower cross-entropy on these images is better. Reports show the error alone.
        inheritance: What a child starts from: "parent", the weights of its trained parent, as in
            the paper, or "none", new weights, an ablation; nothing is distilled then.
        max_redraws: How many times a child that is a duplicate or over a limit is resampled. After
            that, a duplicate is trained again, as in the paper, and a child over a limit is
            dropped.
        mode: When children are proposed: "generational", a whole generation when the one before is
            trained, as in Algorithm 1, or "asynchronous", the next child whenever a worker is free,
            so that no worker waits for another; the budget is the same. Its result depends on the
            order in which children are completed.
        replay: Run folder of a finished asynchronous search to repeat, with any number of workers:
            children are proposed and recorded in the same order. The settings are those of that
            run, and may only be given again.
        minutes: Minutes that the search may take in all. It sizes itself: from measured training
            steps, it chooses training_images, epochs, distillation_epochs, learning_rate and the
            numbers of generations and children. Without --preset paper, sampling is "improvement",
            tie_break "cross_entropy", initial_width 0.25, and mixup and cutout 0. All that is given
            stays. What is left of the minutes counts when it is resumed.
        max_hours: Hours after which the search ends, counted from each start or resume; children in
            training are finished first. No limit by default.
        max_child_hours: Hours after which a child is recorded as failed and its worker is replaced,
            so that a child that hangs does not block the search; inf for no limit.
        latency_table: Run folder whose latency tables predict `latency` and the like, so that
            runs are comparable. By default new tables are measured: about a minute each for
            images of up to 32x32 pixels on an idle machine, several for larger ones.
        latency_protocol: How the inference times of the front's networks are measured: "default",
            the shortest of passes until the standard error is below 1 %, for at most one second, or
            "paper", the mean of 5,000 passes (A.3).
        initial_run: Run folder whose front replaces the initial networks of the space; the data set
            may differ.
        initial_models: Keras files (.keras, .h5) of trained networks that replace the initial
            networks of the space.
        keep_all: Whether to keep the files of all trained networks, not only of the front.
        tensorboard: Whether to write TensorBoard summaries to the run folder.
        seed: Random seed. Equal seeds give equal results on CPUs of the same type.
        workers: Worker processes that train children. Defaults to one per CPU core, or, with GPUs,
            to four per GPU if there are two CPU cores for each. Workers that share a GPU take turns
            at training, and build and compile their children in the meantime. With Ray, defaults to
            as many as the resources of the cluster allow at the time.
        executor: Where workers run: "processes", on this machine, or "ray", on the nodes of a Ray
            cluster, which may join and leave meanwhile.
        ray_address: Ray cluster: "auto" for the one that this machine belongs to, HOST:PORT of its
            head node, or "local" to start Ray on this machine. Defaults to the environment variable
            RAY_ADDRESS, else "local".
        gpus_per_child: With Ray, GPUs per worker: a number, or a fraction, such as 0.5, to share a
            GPU. Defaults to a quarter to 1, depending on the CPUs per GPU; 0 without GPUs.
        strategy: What several GPUs are for: "one_per_gpu" trains one child on each; "mirrored"
            divides the GPUs among the workers (by default, a single worker gets all) and splits
            each batch among the GPUs of a worker, for networks that are too large or too slow for
            one GPU. The number of GPUs per worker changes results in the last digits.
        threads: CPU threads per worker. Results depend on it in the last digits, because it sets
            the order of summation.
        device_memory: Gigabytes of a GPU that each worker may fill with training images; a larger
            data set stays on the host and streams. Defaults to a quarter of the GPU, divided among
            the workers that share it.

    Raises:
        ConfigError: If a value is out of range.
    """

    space: Space = "networks"
    filters: tuple[int, ...] = (128, 256)
    cells_per_block: int = 2
    initial_width: float = 1.0
    width_multiple: int = 1
    dataset: str = "digits"
    image_size: tuple[int, ...] | None = None
    training_images: int | None = None
    data_dir: str | None = None
    cache_dir: str | None = None
    workdir: str | None = None
    objectives: tuple[str, ...] = ("error", "parameters")
    limit: Mapping[str, float] = field(default_factory=dict)
    board: str | None = None
    scale: Mapping[str, str] = field(default_factory=dict)
    operators: tuple[str, ...] = ()
    num_generations: int = 100
    num_proposed: int = 200
    num_accepted: int = 40
    sampling: Sampling = "density"
    tie_break: TieBreak = "none"
    inheritance: Inheritance = "parent"
    max_redraws: int = 10
    mode: Mode = "generational"
    replay: str | None = None
    minutes: float | None = None
    max_hours: float | None = None
    max_child_hours: float | None = 12.0
    latency_table: str | None = None
    latency_protocol: LatencyProtocol = "default"
    initial_run: str | None = None
    initial_models: tuple[str, ...] = ()
    keep_all: bool = False
    tensorboard: bool = False
    seed: int = 0
    workers: int | None = None
    executor: ExecutorName = "processes"
    ray_address: str | None = None
    gpus_per_child: float | None = None
    strategy: Strategy = "one_per_gpu"
    threads: int = 1
    device_memory: float | None = None

    def __post_init__(self) -> None:
        self._split_names()
        super().__post_init__()
        self._normalize()
        try:
            object.__setattr__(self, "limit", limits_with_board(self.limit, self.board))
        except ObjectiveError as error:
            raise ConfigError(f"--board: {error}") from None
        for name, known in (
            ("space", Space),
            ("sampling", Sampling),
            ("tie_break", TieBreak),
            ("inheritance", Inheritance),
            ("strategy", Strategy),
            ("mode", Mode),
            ("latency_protocol", LatencyProtocol),
            ("executor", ExecutorName),
        ):
            check_choice(name, getattr(self, name), known)
        for name, check in (
            ("objectives", _check_objectives),
            ("scale", run_objectives),
            ("limit", run_limits),
        ):
            try:
                check(vars(self))
            except ObjectiveError as error:
                raise ConfigError(f"--{name}: {error}") from None
        self._check_numbers()
        if self.inheritance == "none":
            if self.initial_models or self.initial_run is not None:
                raise ConfigError(
                    "--inheritance none starts from the initial networks of the space; omit"
                    " --initial_models and --initial_run, or --inheritance."
                )
            # Nothing is distilled, so estimates and costs must not include it.
            training = replace(self.training, distillation_epochs=0)
            object.__setattr__(self, "training", training)
        if self.initial_models and (self.initial_run is not None or self.space != "networks"):
            raise ConfigError(
                "--initial_models needs --space networks, and excludes --initial_run; omit one."
            )
        if self.replay is not None and self.mode != "asynchronous":
            raise ConfigError(
                f"--replay is {self.replay} and --mode {self.mode}; expected --mode asynchronous:"
                " only such a search has an order to be replayed."
            )

    def _split_names(self) -> None:
        """Accept paths as paths, and objectives separated by commas as on the command line."""
        for name, value in vars(self).items():
            if isinstance(value, os.PathLike):
                object.__setattr__(self, name, os.fspath(value))
        for name in ("objectives", "operators"):
            if isinstance(text := getattr(self, name), str):
                object.__setattr__(self, name, tuple(map(str.strip, text.split(","))))
        for each in self.objectives if isinstance(self.objectives, list | tuple) else ():
            if isinstance(each, Objective):
                raise ConfigError(
                    f"--objectives contains the objective {each.name!r} itself; expected names, by"
                    " which workers import objectives: MODULE:NAME, such as 'own:DOUBT'."
                )
        object.__setattr__(self, "initial_models", as_paths(self.initial_models))
        object.__setattr__(self, "image_size", as_image_size(self.image_size))

    def _normalize(self) -> None:
        """Replace alternative spellings of a value, such as a list, by the declared type."""
        try:
            dataset = join_datasets(self.dataset)
            objectives = with_dataset_errors(self.objectives, dataset)
        except DatasetNameError as error:
            raise ConfigError(f"--dataset: {error}") from None
        for name, value in {
            "dataset": dataset,
            "objectives": objectives,
            "operators": tuple(self.operators),
            "filters": tuple(self.filters),
            "limit": dict(self.limit),
            "scale": dict(self.scale),
            "minutes": None if self.minutes == inf else self.minutes,
            "max_hours": None if self.max_hours == inf else self.max_hours,
            "max_child_hours": None if self.max_child_hours == inf else self.max_child_hours,
        }.items():
            object.__setattr__(self, name, value)

    def _check_numbers(self) -> None:
        for name in ("cells_per_block", "width_multiple", "num_proposed", "num_accepted"):
            check_integer(name, getattr(self, name), 1)
        for name in ("threads", "workers"):
            check_integer(name, getattr(self, name), 1, optional=name == "workers")
        for name in ("num_generations", "max_redraws", "seed"):
            check_integer(name, getattr(self, name), 0)
        check_integer("epochs", self.training.epochs, 1)
        check_integer("training_images", self.training_images, 1, optional=True)
        check_image_size(self.image_size)
        check_gpus("gpus_per_child", self.gpus_per_child)
        check_device_memory(self.device_memory)
        check_widths(self.filters, self.initial_width)
        if self.num_accepted > self.num_proposed:
            raise ConfigError(
                f"--num_accepted is {self.num_accepted}; expected at most --num_proposed,"
                f" {self.num_proposed}, because accepted children are chosen from proposed ones."
            )
        check_durations(self.minutes, self.max_hours, self.max_child_hours)
        if self.minutes is not None and self.replay is not None:
            raise ConfigError("--minutes has no effect on a --replay; omit it.")


def _check_objectives(settings: Mapping[str, Any]) -> None:
    find_objectives(settings["objectives"])
    run_objectives({**settings, "scale": {}})
