"""Presets of the settings of a search, and their combination with settings that are given.

The default preset of every data set but the digits is the paper's, 4,000 trained networks; the
others are smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.datasets.loading import takes_image_size
from lemonade_tf.datasets.names import join_datasets, parse_datasets
from lemonade_tf.errors import PROGRAM, did_you_mean, shell_command
from lemonade_tf.latency.runtime import RUNTIMES

# Digits are 8x8 pixels: there is no room for crops and holes, and a mirrored digit is no digit.
_DIGITS = {
    "dataset": "digits",
    "filters": (32, 64),
    "pad": 0,
    "flip": False,
    "cutout": 0,
    "mixup": 0.0,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The paper's search in either space: 56 GPU-days of 2018.
    "paper": {},
    # scikit-learn's digits: three to eight minutes on two CPU cores, depending on the seed.
    "digits": {
        **_DIGITS,
        "num_generations": 10,
        "num_proposed": 80,
        "num_accepted": 16,
        "epochs": 4,
        "distillation_epochs": 2,
    },
    # The same with small networks only, in less than a minute. It goes beyond the paper: children
    # are accepted by what they promise per second, ties between errors are broken by the
    # cross-entropy, because there are only 297 validation images, the initial networks are
    # narrower, and the learning rate is larger, because a network has only 75 training steps.
    "minute": {
        **_DIGITS,
        "sampling": "improvement",
        "tie_break": "cross_entropy",
        "initial_width": 0.25,
        "learning_rate": 0.05,
        "limit": {"parameters": 1e5},
        "num_generations": 4,
        "num_proposed": 40,
        "num_accepted": 8,
        "epochs": 4,
        "distillation_epochs": 2,
    },
    # Cells on the same digits: about 100 networks.
    "digits_cells": {
        **_DIGITS,
        "space": "cells",
        "num_generations": 8,
        "num_proposed": 60,
        "num_accepted": 12,
        "epochs": 4,
        "distillation_epochs": 2,
    },
    # A smoke test: a few seconds.
    "quick": {
        **_DIGITS,
        "num_generations": 2,
        "num_proposed": 12,
        "num_accepted": 3,
        "epochs": 2,
        "distillation_epochs": 1,
    },
}

# What a time budget changes, to end with the best front: the paper's sampling takes no account of
# time, and its initial networks and its regularization are for searches of days; networks that
# train for few epochs underfit. Without a tie-break, a small network that misclassifies no
# validation image by luck ends the front for all larger ones.
_BUDGETED = {
    "sampling": "improvement",
    "tie_break": "cross_entropy",
    "initial_width": 0.25,
    "mixup": 0.0,
    "cutout": 0,
}


def preset_for(dataset: str | Iterable[str], space: str = "networks") -> str:
    """Return the default preset for a data set (the first of several) and a space."""
    if parse_datasets(join_datasets(dataset))[0] != "digits":
        return "paper"
    return "digits_cells" if space == "cells" else "digits"


def make_config(preset: str | None = None, **settings: Any) -> SearchConfig:
    """Return the settings of a preset with some of them replaced.

    Args:
        preset: A name in `PRESETS`. Defaults to `preset_for` the data set and the space. With a
            time budget, unless they or the paper's preset are given, sampling is by improvement,
            the cross-entropy breaks ties between errors, initial networks are narrower, and mixup
            and Cutout are off.
        **settings: Fields of `SearchConfig` and of `TrainingSettings`.

    Raises:
        ConfigError: If there is no such preset or setting, if a value is out of range, or if a
            setting has no effect.
    """
    is_paper = preset == "paper"
    if preset is None:
        preset = preset_for(
            settings.get("dataset", SearchConfig.dataset), settings.get("space", SearchConfig.space)
        )
    if preset not in PRESETS:
        near = did_you_mean(str(preset), PRESETS)
        raise ConfigError(
            f"--preset is {preset!r}; expected one of {', '.join(PRESETS)}{near or '.'}"
        )
    minutes = None if is_paper else settings.get("minutes")
    config = SearchConfig.from_flat({**_defaults(preset, minutes), **settings})
    check_effects(config, settings)
    return config


def _defaults(preset: str, minutes: float | None) -> dict[str, Any]:
    """Return the settings of a preset, for a search of so many minutes if it has a budget."""
    return {**PRESETS[preset], **({} if minutes is None else _BUDGETED)}


def given_names(config: SearchConfig | None, settings: Mapping[str, Any]) -> frozenset[str]:
    """Return the settings that the user gave: of a config, those that differ from its preset."""
    if config is None:
        return frozenset(settings)
    preset = preset_for(config.dataset, config.space)
    usual = SearchConfig.from_flat(_defaults(preset, config.minutes)).as_json()
    return frozenset(name for name, value in config.as_json().items() if value != usual[name])


def command_line(settings: Mapping[str, Any]) -> str:
    """Return the command that starts a search with the settings of a run, in a new folder.

    Args:
        settings: The settings, as in config.json; those of the default preset are left out.
    """
    tie_break = settings.get("tie_break", "none")  # which runs of earlier versions lack
    settings = {**settings, "tie_break": tie_break}
    words = [PROGRAM, "search"]
    preset = preset_for(settings["dataset"], settings["space"])
    usual = SearchConfig.from_flat(_defaults(preset, settings.get("minutes"))).as_json()
    for name, value in settings.items():
        default = usual.get(name)
        if name == "workdir" or name not in usual or value == default:
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, Mapping):
            words += [f"--{name}", ",".join(f"{key}={each}" for key, each in value.items())]
        elif isinstance(value, list | tuple):
            each = list(map(str, value))
            words += [f"--{name}", *(each if name == "initial_models" else [",".join(each)])]
        elif value is not None:
            words += [f"--{name}", str(value)]
    return shell_command(*words)


def check_effects(config: SearchConfig, given: Iterable[str]) -> None:
    """Check that every given setting has an effect, so that none is ignored silently.

    Args:
        config: All settings.
        given: The names of the settings that the user gave.

    Raises:
        ConfigError: If one has no effect; the message says which setting it depends on.
    """
    named = {*config.objectives, *config.limit}
    for names, has_effect, advice in (
        (
            ("image_size",),
            takes_image_size(config.dataset) or config.image_size is None,
            "give --dataset a folder of pictures",
        ),
        (("filters", "cells_per_block"), config.space == "cells", "use --space cells"),
        (("operators", "initial_width"), config.space == "networks", "use --space networks"),
        (
            ("initial_width",),
            config.initial_run is None and not config.initial_models,
            "omit --initial_run and --initial_models",
        ),
        (
            ("latency_table", "latency_protocol"),
            bool(named & set(RUNTIMES)),
            f"add one of {', '.join(RUNTIMES)} to --objectives",
        ),
        (
            ("decay_epochs", "decay_factor"),
            config.training.schedule == "step",
            "use --schedule step",
        ),
        (
            (
                "distillation_epochs",
                "distillation_learning_rate",
                "distillation_memory",
                "approximate_start",
                "statistics_images",
                "fit_images",
            ),
            config.inheritance == "parent",
            "omit --inheritance",
        ),
        (("nesterov",), config.training.momentum > 0, "use --momentum 0.9"),
        (("ray_address", "gpus_per_child"), config.executor == "ray", "use --executor ray"),
        (("jit_compile",), config.strategy == "one_per_gpu", "omit --strategy"),
        (
            ("strategy",),
            config.strategy == "one_per_gpu"
            or config.executor == "processes"
            or (config.gpus_per_child or 1) > 1,
            "use --gpus_per_child 2",
        ),
    ):
        for name in names:
            if name in given and not has_effect:
                raise ConfigError(f"--{name} has no effect here; omit it, or {advice}.")
