"""Training a child on several data sets, and merging the results (A.3).

On each data set, a network of the child's architecture inherits from the parent's network for that
data set: the same operators are replayed on it, and least squares, distillation and training use
the images of that data set. Either all networks are recorded or none: a child that fails on one
data set has failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lemonade_tf.datasets.names import ERROR_PREFIX
from lemonade_tf.workers.tasks import ChildResult, ChildTask


def train_on_all(task: ChildTask, train: Callable[[ChildTask], ChildResult]) -> ChildResult:
    """Train a child on its data sets, one after the other, and merge the results.

    Args:
        task: The child on the first data set, with its tasks on the extra ones.
        train: Trains it on one data set.

    Raises:
        Exception: If `train` raises; the files of the child are removed first.
    """
    others: dict[str, ChildResult] = {}
    try:
        first = train(task)
        # The first failure is that of the child, so that training on other data sets is pointless.
        for each in task.extra_datasets if first.failure is None else ():
            result = _train_on_extra(each, train)
            others[str(each.dataset)] = result
            if result.failure is not None:
                break
        merged = merge_results(first, others)
    except BaseException:
        _remove_files(task)
        raise
    if merged.failure is not None:
        _remove_files(task)
    return merged


def _train_on_extra(task: ChildTask, train: Callable[[ChildTask], ChildResult]) -> ChildResult:
    """Train a child on an extra data set; the message of an exception then names the data set."""
    try:
        return train(task)
    except Exception as error:
        # The arguments of an OSError are a number and a file, which the executor reports.
        if not isinstance(error, OSError) and len(error.args) == 1:
            error.args = (f"on {task.dataset}: {error.args[0]}",)
        raise


def _remove_files(task: ChildTask) -> None:
    for each in (task, *task.extra_datasets):
        Path(each.output).unlink(missing_ok=True)


def merge_results(first: ChildResult, others: Mapping[str, ChildResult]) -> ChildResult:
    """Merge the results on all data sets into one.

    Seconds and processed images are summed, and the errors on extra data sets become measured
    objectives. Everything else is the first result's.

    Args:
        first: The result on the first data set.
        others: The results on extra data sets, by name; the last may have failed.
    """
    if not others:
        return first
    results = (first, *others.values())
    seconds: Counter[str] = Counter()
    for result in results:
        seconds.update(result.seconds)  # pyright: ignore[reportArgumentType] (adds floats as well)
    for name, result in others.items():
        if result.failure is not None:
            return ChildResult(
                first.id,
                failure=f"on {name}: {result.failure}",
                seconds=dict(seconds),
                parameters=first.parameters,
                multiply_adds=first.multiply_adds,
            )
    errors = {f"{ERROR_PREFIX}{name}": result.error for name, result in others.items()}
    num_images = sum(result.num_images for result in results)
    return replace(
        first,
        measured={**first.measured, **errors},
        seconds=dict(seconds),
        num_images=num_images,
        images_per_second=_speed(num_images, results),
        extra_datasets=dict(others),
    )


def _speed(num_images: int, results: tuple[ChildResult, ...]) -> float | None:
    """Return the images per second over all data sets."""
    seconds = sum(r.num_images / r.images_per_second for r in results if r.images_per_second)
    return num_images / seconds if seconds else None
