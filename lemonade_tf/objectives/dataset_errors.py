"""The errors on further data sets, of a search that has several.

Two of the paper's five objectives are the errors on CIFAR-10 and on CIFAR-100 (A.3): one
architecture, and for each data set a network that is trained on it. `error` is that on the first
data set of a search, `error_NAME` that on each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lemonade_tf.datasets.names import ERROR_PREFIX, extra_dataset_names
from lemonade_tf.objectives.builtin import ERROR
from lemonade_tf.objectives.objective import Objective, ObjectiveError


def error_on(name: str) -> Objective:
    """Return the objective that is the error on a further data set of this name."""
    return replace(ERROR, name=f"{ERROR_PREFIX}{name}")


def with_errors(objectives: Iterable[str], dataset: str) -> tuple[str, ...]:
    """Return objectives by name, and among them the errors on all data sets.

    Those that are missing come after `error`.

    Args:
        objectives: What was asked for.
        dataset: The data sets, as in the settings.

    Raises:
        DatasetNameError: The data sets cannot be told apart.
    """
    names = tuple(objectives)
    errors = (f"{ERROR_PREFIX}{name}" for name in extra_dataset_names(dataset))
    missing = tuple(error for error in errors if error not in names)
    if ERROR.name not in names:
        return (*names, *missing)
    place = names.index(ERROR.name) + 1
    return (*names[:place], *missing, *names[place:])


def check_errors(objectives: Iterable[str], dataset: str) -> None:
    """Check that every error among some objectives is that on a data set of the search.

    Raises:
        ObjectiveError: One is not.
    """
    known = [f"{ERROR_PREFIX}{name}" for name in extra_dataset_names(dataset)]
    for name in objectives:
        if is_error_on(name) and name not in known:
            raise ObjectiveError(
                f"{name!r} would be the error on a further data set, and --dataset {dataset} has"
                f" none called {name.removeprefix(ERROR_PREFIX)!r}; expected"
                f" {' or '.join([ERROR.name, *known])}, or data sets separated by commas, such as"
                " --dataset cifar10,cifar100."
            )


def is_error_on(name: str) -> bool:
    """Whether an objective is the error on a further data set, by its name in the settings."""
    return isinstance(name, str) and ":" not in name and name.startswith(ERROR_PREFIX)
