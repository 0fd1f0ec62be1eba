"""The errors on extra data sets, as objectives of a search on several data sets.

Two of the paper's five objectives are the errors on CIFAR-10 and on CIFAR-100 (A.3): for each
architecture, one network is trained per data set. `error` is the error on the first data set of a
search, `error_NAME` the error on an extra one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lemonade_tf.datasets.names import ERROR_PREFIX, extra_dataset_names
from lemonade_tf.objectives.network_errors import ERROR
from lemonade_tf.objectives.objective import Objective, ObjectiveError


def dataset_error(name: str) -> Objective:
    """Return the error on the extra data set of this name."""
    return replace(ERROR, name=f"{ERROR_PREFIX}{name}")


def is_dataset_error(name: str) -> bool:
    """Return whether the name of an objective is that of the error on an extra data set."""
    return isinstance(name, str) and ":" not in name and name.startswith(ERROR_PREFIX)


def with_dataset_errors(objectives: Iterable[str], dataset: str) -> tuple[str, ...]:
    """Insert missing errors on extra data sets into a list of objectives, after `error`.

    Args:
        objectives: Names of objectives.
        dataset: The `dataset` setting.

    Raises:
        DatasetNameError: If the names of extra data sets are invalid.
    """
    names = tuple(objectives)
    errors = (f"{ERROR_PREFIX}{name}" for name in extra_dataset_names(dataset))
    missing = tuple(error for error in errors if error not in names)
    if ERROR.name not in names:
        return (*names, *missing)
    index = names.index(ERROR.name) + 1
    return (*names[:index], *missing, *names[index:])


def check_dataset_errors(objectives: Iterable[str], dataset: str) -> None:
    """Check that every error among the objectives is the error on a data set of the search.

    Raises:
        ObjectiveError: If one is not.
    """
    known = [f"{ERROR_PREFIX}{name}" for name in extra_dataset_names(dataset)]
    for name in objectives:
        if is_dataset_error(name) and name not in known:
            raise ObjectiveError(
                f"{name!r} is the error on an extra data set {name.removeprefix(ERROR_PREFIX)!r},"
                f" which --dataset {dataset} does not list; expected"
                f" {' or '.join([ERROR.name, *known])}. List data sets separated by commas, such as"
                " --dataset cifar10,cifar100."
            )
