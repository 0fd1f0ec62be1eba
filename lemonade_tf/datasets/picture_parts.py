"""Write the converted files of a data set of pictures, and hold out the parts that it lacks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.datasets.converted_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    move_to_end,
    split_off,
    write_images,
    write_manifest,
)
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.labels import check_training_labels, warn_of_missing_classes
from lemonade_tf.datasets.npz_names import listed
from lemonade_tf.datasets.splits import hold_out_validation

Images = Iterable[tuple[np.ndarray, np.ndarray]]  # some images and their labels at a time


def write_parts(
    name: str,
    folder: Path,
    shape: tuple[int, int, int],
    parts: Mapping[str, Images],
    *,
    class_names: Sequence[str],
    sources: Mapping[str, Any],
    notes: Callable[[], Sequence[str]] = list,
) -> None:
    """Write the images of a data set, their labels and the manifest.

    Args:
        name: The name of the data set, for errors.
        folder: The folder for the files.
        shape: The shape of an image.
        parts: The images of "train" and perhaps of "validation" and "test".
        class_names: The names of the classes.
        sources: What changes when the originals do.
        notes: Returns sentences to report whenever the data set is loaded, when all is written.

    Raises:
        DatasetError: If a class has no training images, or there are too few.
    """
    train, test = folder / TRAIN_IMAGES, folder / TEST_IMAGES
    given: list[int] = []

    def joined() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for part in ("train", "validation"):
            given.append(0)
            for images, labels in parts.get(part, ()):
                given[-1] += len(labels)
                yield images, labels

    labels = write_images(train, shape, joined())
    num_validation = given[1]
    _check_classes(name, labels[: given[0]], class_names)
    if "test" in parts:
        test_labels = write_images(test, shape, parts["test"])
    elif not num_validation:
        _, rows = hold_out_validation(labels, f"{name}: the pictures")
        labels = move_to_end(train, labels, rows)
        labels, test_labels = split_off(train, labels, len(rows), test)
    else:
        test_labels = None
    if not num_validation:
        _, rows = hold_out_validation(labels, f"{name}: the training pictures")
        labels, num_validation = move_to_end(train, labels, rows), len(rows)
    np.save(folder / TRAIN_LABELS, labels)
    if test_labels is None or not len(test_labels):
        test.unlink(missing_ok=True)
    else:
        np.save(os.fspath(folder / TEST_LABELS), test_labels)
    write_manifest(
        name,
        folder,
        sources,
        num_classes=len(class_names),
        num_validation=num_validation,
        class_names=class_names,
        notes=notes(),
    )
    split = len(labels) - num_validation
    present = {"train": labels[:split], "validation": labels[split:]}
    if test_labels is not None:
        present["test"] = test_labels
    warn_of_missing_classes(name, class_names, present)


def _check_classes(name: str, labels: np.ndarray, class_names: Sequence[str]) -> None:
    missing = np.setdiff1d(np.arange(len(class_names)), labels)
    if len(missing):
        raise DatasetError(
            f"{name} has no readable training picture of"
            f" {listed(class_names[number] for number in missing)}; expected some of each class."
        )
    check_training_labels(name, labels)
