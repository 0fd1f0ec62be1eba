"""Describe a data set in a sentence or two: its images, and how unequal its classes are."""

from __future__ import annotations

import numpy as np

from lemonade_tf.datasets.dataset import Dataset

_UNEQUAL = 2.0  # ratio of the numbers of images of two classes from which it is reported


def described(dataset: Dataset) -> str:
    """Return the numbers of images and classes, and a remark if classes have unequal numbers."""
    counts = np.bincount(dataset.y_train, minlength=dataset.num_classes)
    shape = "x".join(map(str, dataset.input_shape))
    num_test = 0 if dataset.x_test is None else len(dataset.x_test)
    text = (
        f"{dataset.name}: {dataset.num_classes} classes, images of {shape};"
        f" {len(dataset.x_train):,} for training, {len(dataset.x_validation):,} for"
        f" validation, {num_test:,} for the test."
    )
    few, many = int(counts.argmin()), int(counts.argmax())
    if counts[many] < _UNEQUAL * counts[few]:
        return text
    return (
        f"{text} The classes are unequal: from {counts[few]:,} training images of"
        f" {_class_name(dataset, few)} to {counts[many]:,} of {_class_name(dataset, many)}. See"
        " --class_weights and the objective balanced_error."
    )


def _class_name(dataset: Dataset, label: int) -> str:
    return str(label) if dataset.class_names is None else dataset.class_names[label]
