"""The settings of a search that is resumed or replayed: recorded ones, of which few may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.datasets.names import join_datasets
from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.objectives.dataset_errors import is_dataset_error
from lemonade_tf.store.value_types import type_check
from lemonade_tf.training.settings import BY_IMAGE_SIZE, TrainingSettings

# Settings that may change when a search is resumed: no result depends on them.
MAY_CHANGE = (
    "data_dir",
    "cache_dir",
    "workdir",
    "num_generations",
    "minutes",
    "max_hours",
    "max_child_hours",
    "latency_protocol",
    "keep_all",
    "tensorboard",
    "workers",
    "executor",
    "ray_address",
    "gpus_per_child",
    "device_memory",
)

# Settings that runs of earlier versions lack, with what they had in their place.
_LATER = {
    "training_images": None,
    "minutes": None,
    "inheritance": "parent",
    "initial_width": 1.0,
    "tie_break": "none",
}


def resumed_config(before: Mapping[str, Any], given: Mapping[str, Any]) -> SearchConfig:
    """Return the settings with which a search is resumed.

    Args:
        before: Its recorded settings, side by side as in config.json.
        given: The settings given now; the others stay.

    Raises:
        ConfigError: If a given setting would change the results of the search; the message lists
            all of these.
    """
    return _continued_config(before, given, MAY_CHANGE, "resume")


def replayed_config(before: Mapping[str, Any], given: Mapping[str, Any]) -> SearchConfig:
    """Return the settings with which a run is replayed, in another folder.

    Args:
        before: Its recorded settings, side by side as in config.json.
        given: The settings given now, `replay` among them; the others are those of the run.

    Raises:
        ConfigError: If a given setting would change the results of the search; the message lists
            all of these.
    """
    own = {"replay": given["replay"], "workdir": None, "minutes": None, "max_hours": None}
    may_change = [name for name in MAY_CHANGE if name != "num_generations"]
    return _continued_config({**before, **own}, given, may_change, "replay")


def _continued_config(
    before: Mapping[str, Any], given: Mapping[str, Any], may_change: Sequence[str], option: str
) -> SearchConfig:
    """Return recorded settings with given ones, of which only some may differ.

    Args:
        before: The recorded settings, side by side as in config.json.
        given: The settings given now; the others stay.
        may_change: The names of those that may differ.
        option: The option that uses the recorded settings, for error messages.

    Raises:
        ConfigError: If a setting is missing, or another one differs.
    """
    settings = _recorded_settings(before, f"--{option}: ")
    # A config in which the augmentation is left to the size of the images does not change it.
    by_images = (*BY_IMAGE_SIZE, "image_size")
    given = {k: v for k, v in given.items() if v is not None or k not in by_images}
    merged = {**settings, **given}
    for name, other in (("minutes", "max_hours"), ("max_hours", "minutes")):
        if given.get(name) is not None and other not in given:
            merged[other] = None  # one budget replaces the other
    if join_datasets(merged["dataset"]) != settings["dataset"] and "objectives" not in given:
        # The errors on extra data sets follow from the data sets.
        merged["objectives"] = [n for n in settings["objectives"] if not is_dataset_error(n)]
    config = _config_of(merged, f"--{option}: ")
    changed = [
        f"--{name} was {quoted(_shown(settings[name]))}, now {_shown(value)}"
        for name, value in config.as_json().items()
        if name not in may_change and value != settings[name]
    ]
    if changed:
        raise ConfigError(
            f"cannot {option} with different settings: {'; '.join(changed)}. Omit them, or start a"
            " new search with another --workdir. Only"
            f" {', '.join(f'--{name}' for name in may_change)} may change."
        )
    return config


def recorded_config(before: Mapping[str, Any]) -> SearchConfig:
    """Return the settings of a run, to rebuild its networks.

    Args:
        before: Its recorded settings, side by side as in config.json.

    Raises:
        ConfigError: If a setting is missing or impossible.
    """
    return _config_of(_recorded_settings(before))


def _recorded_settings(before: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the recorded settings of a search, checked; errors start with the prefix."""
    before = {**_LATER, **before}
    missing = [name for name in SearchConfig.names() if name not in before]
    if missing:
        raise ConfigError(
            f"{prefix}config.json of the run lacks {', '.join(missing)}; it was not made by a"
            " search of this version. Choose another run folder."
        )
    settings = {name: before[name] for name in SearchConfig.names()}
    hints = get_type_hints(SearchConfig) | get_type_hints(TrainingSettings)
    for name, value in settings.items():
        if not type_check(hints[name])(value):
            raise ConfigError(
                f"{prefix}config.json of the run has {quoted(value)} as {name!r}; restore it."
            )
    return settings


def _config_of(settings: Mapping[str, Any], prefix: str = "") -> SearchConfig:
    try:
        return SearchConfig.from_flat(settings)
    except LemonadeError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        raise ConfigError(
            f"{prefix}config.json of the run has impossible settings ({quoted(error)}); restore it."
        ) from error


def _shown(value: Any) -> Any:
    """Format a setting as on the command line."""
    if not isinstance(value, Mapping):
        return value
    return ",".join(f"{name}={setting}" for name, setting in value.items()) or "none"
