"""The error of a network: the fraction of images that it misclassifies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lemonade_tf.backends.base import Forward, Inputs
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.training.fit import TrainingDiverged

MAX_CLASSES = 20  # whose errors the file of a network has
_SMALLEST_PROBABILITY = 1e-7  # in logarithms, as in Keras


def predict(forward: Forward, images: Inputs, *, batch_size: int = 256) -> np.ndarray:
    """Predict the probabilities (n, classes) of images (n, height, width, channels).

    Args:
        forward: The network.
        images: The images, or a list of the network's inputs, each (n, ...).
        batch_size: Images per batch.

    Raises:
        TrainingDiverged: If a probability is not finite.
    """
    # Filled batch by batch: concatenating the batches would need twice the memory.
    probabilities, start = np.empty((0, 0), np.float32), 0
    for batch in batches(images, batch_size):
        some = forward.probabilities(batch)
        if not start:
            num_images = len(images[0] if isinstance(images, list) else images)
            probabilities = np.empty((num_images, some.shape[1]), some.dtype)
        probabilities[start : start + len(some)] = some
        start += len(some)
    if not np.isfinite(probabilities).all():
        bad = int((~np.isfinite(probabilities).all(axis=1)).sum())
        raise TrainingDiverged(
            f"the outputs of the network are not finite for {bad} of {len(probabilities)} images."
        )
    return probabilities


def batches(images: Inputs, batch_size: int) -> Iterator[Inputs]:
    """Yield batches of images, or of the inputs of a network."""
    parts = images if isinstance(images, list) else [images]
    for start in range(0, len(parts[0]), batch_size):
        batch = [part[start : start + batch_size] for part in parts]
        yield batch if isinstance(images, list) else batch[0]


def error_rate(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the fraction of rows (n, classes) whose most probable class is not the label."""
    return float((probabilities.argmax(axis=1) != labels).mean())


def ranked_error_rate(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the error rate, with ties broken by the cross-entropy.

    With w of n rows misclassified and the mean cross-entropy c, it is (w + c / (1 + c)) / n: fewer
    misclassified rows are always better, and with the same number of them, a lower cross-entropy
    is. c / (1 + c) is rounded to thousandths, so that the last digits of probabilities, which
    depend on the machine, seldom count.

    Args:
        probabilities: The outputs of a network, (n, classes).
        labels: Class indices, (n,).
    """
    of_labels = probabilities[np.arange(len(labels)), labels].astype(float)
    cross_entropy = float(-np.log(np.maximum(of_labels, _SMALLEST_PROBABILITY)).mean())
    tie_break = min(round(cross_entropy / (1 + cross_entropy), 3), 0.999)
    wrong = int((probabilities.argmax(axis=1) != labels).sum())
    return (wrong + tie_break) / len(labels)


def error_on_test_images(forward: Forward, data: Dataset, *, batch_size: int = 256) -> float | None:
    """Return the error on the test images of a data set; None if it has none."""
    if data.x_test is None or data.y_test is None:
        return None
    return error_rate(predict(forward, data.x_test, batch_size=batch_size), data.y_test)


def errors_on_test_images(
    forward: Forward, data: Dataset, *, batch_size: int = 256
) -> tuple[float | None, float | None]:
    """Return the error and the top-5 error on the test images of a data set.

    Both are None if it has none; with fewer than six classes, the top-5 error is.
    """
    if data.x_test is None or data.y_test is None:
        return None, None
    probabilities = predict(forward, data.x_test, batch_size=batch_size)
    error = error_rate(probabilities, data.y_test)
    return error, top5_error_rate(probabilities, data.y_test) if data.num_classes > 5 else None


def worst_classes(probabilities: np.ndarray, labels: np.ndarray) -> list[list[int]]:
    """Return the classes with the highest errors, at most `MAX_CLASSES`, the highest first.

    Args:
        probabilities: The outputs of a network, (n, classes).
        labels: Class indices, (n,).

    Returns:
        For each class its index, the number of its images that are misclassified, and the number of
        its images. Classes without images are left out.
    """
    num_classes = probabilities.shape[1]
    images = np.bincount(labels, minlength=num_classes)
    wrong = np.bincount(labels[probabilities.argmax(axis=1) != labels], minlength=num_classes)
    order = np.argsort(-wrong / np.maximum(images, 1), kind="stable")
    present = [int(index) for index in order if images[index]][:MAX_CLASSES]
    return [[index, int(wrong[index]), int(images[index])] for index in present]


def top5_error_rate(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the fraction of rows (n, classes) whose label is not among the five most probable."""
    five = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    return float((five != labels[:, None]).all(axis=1).mean())
