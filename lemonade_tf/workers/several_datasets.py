"""A child on several data sets: trained on each, and the results brought together (A.3).

For each data set a network of the architecture inherits from the parent's network for the same
one: the same operators are replayed on that, and least squares, distillation and training have the
images of that data set. All of them, or none, are on record: a child that fails on one data set
has failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lemonade_tf.datasets.names import ERROR_PREFIX
from lemonade_tf.workers.tasks import ChildResult, ChildTask


def train_on_all(task: ChildTask, train: Callable[[ChildTask], ChildResult]) -> ChildResult:
    """Train a child on its data sets, one after the other, and return what became of it.

    Args:
        task: The child on the first data set, and `further`, the same on others.
        train: Trains it on one.

    Raises:
        Exception: What `train` raises; no file of the child is left then.
    """
    found: dict[str, ChildResult] = {}
    try:
        first = train(task)
        for each in task.further if first.failure is None else ():
            found[each.data] = result = _on(each, train)
            if result.failure is not None:
                break
        whole = merged(first, found)
    except BaseException:
        _remove_files(task)
        raise
    if whole.failure is not None:
        _remove_files(task)
    return whole


def _on(task: ChildTask, train: Callable[[ChildTask], ChildResult]) -> ChildResult:
    """Train a child on a further data set; an error that is raised says on which."""
    try:
        return train(task)
    except Exception as error:
        if not isinstance(error, OSError) and len(error.args) == 1:
            error.args = (f"on {task.data}: {error.args[0]}",)
        raise


def _remove_files(task: ChildTask) -> None:
    for each in (task, *task.further):
        Path(each.output).unlink(missing_ok=True)


def merged(first: ChildResult, further: Mapping[str, ChildResult]) -> ChildResult:
    """Return the results on all data sets as one.

    Seconds, and the images that were trained on, are those of all; errors on further data sets are
    measured objectives. All else is that of the first, and `further` has the others'.

    Args:
        first: On the first data set.
        further: On the others, by what they are called; the last may have failed.
    """
    if not further:
        return first
    results = (first, *further.values())
    seconds: Counter[str] = Counter()
    for result in results:
        seconds.update(result.seconds)
    for name, result in further.items():
        if result.failure is not None:
            return ChildResult(
                first.id,
                failure=f"on {name}: {result.failure}",
                seconds=dict(seconds),
                parameters=first.parameters,
                multiply_adds=first.multiply_adds,
            )
    num_images = sum(result.num_images for result in results)
    return replace(
        first,
        measured={**first.measured, **{f"{ERROR_PREFIX}{n}": r.error for n, r in further.items()}},
        seconds=dict(seconds),
        num_images=num_images,
        images_per_second=_speed(num_images, results),
        further=dict(further),
    )


def _speed(num_images: int, results: tuple[ChildResult, ...]) -> float | None:
    """Return how many images went through a second, whatever data set they are of."""
    seconds = sum(r.num_images / r.images_per_second for r in results if r.images_per_second)
    return num_images / seconds if seconds else None
