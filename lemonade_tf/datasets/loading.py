"""The data sets to search on: images and labels for training, validation and test.

The search trains on the training images and compares networks by their validation error; the test
images are for the networks of the final front only. What is held out depends on the data set
alone, never on the seed of a search, so that searches can be compared.

As in the paper (section 5: 45,000 and 5,000 of the 50,000 images of CIFAR), a tenth of the
training images, at most 5,000, is held out for validation where a data set has no such part.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lemonade_tf.architecture.layers import Rescaling
from lemonade_tf.datasets.cifar import CIFAR10, CIFAR100, Layout, read_cifar
from lemonade_tf.datasets.names import extra_dataset_names, parse_datasets
from lemonade_tf.datasets.npz import DatasetError, read_npz

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetError",
    "UnknownDatasetError",
    "load_dataset",
    "load_datasets",
]

_SPLIT_SEED = 1912  # of the data sets, not of a search: never to change
_MOST_VALIDATION_IMAGES = 5000
_CHUNK = 4096  # images whose statistics are taken at a time, as float64


class UnknownDatasetError(DatasetError):
    """A name that is no data set's."""

    exit_status = 2


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images in three parts.

    Args:
        name: As given to `load_dataset`.
        x_train: Raw pixels, uint8 or float32 (images, height, width, channels).
        y_train: Classes, int32 (images,), from 0 to num_classes - 1.
        x_validation: As x_train.
        y_validation: As y_train.
        x_test: As x_train; None if there are no test images.
        y_test: As y_train; None if there are no test images.
        num_classes: How many classes there are.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray | None
    y_test: np.ndarray | None
    num_classes: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image."""
        return self.x_train.shape[1:]

    def digest(self) -> str:
        """Return the SHA-256 of all images and classes, to tell whether data is the same."""
        digest = hashlib.sha256()
        for array in (
            self.x_train,
            self.y_train,
            self.x_validation,
            self.y_validation,
            self.x_test,
            self.y_test,
        ):
            if array is not None:
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()

    def rescaling(self) -> Rescaling:
        """Return the layer that brings every channel of the training images to mean 0, deviation 1.

        A channel that is constant has no deviation; it is brought to 0.
        """
        mean = _channel_means(self.x_train, lambda pixels: pixels)
        deviation = np.sqrt(_channel_means(self.x_train, lambda pixels: (pixels - mean) ** 2))
        constant = deviation <= 1e-7 * np.abs(mean)  # the precision of float32
        deviation = np.where(constant, 1.0, deviation)
        return Rescaling(scale=tuple(1 / deviation), offset=tuple(-mean / deviation))


def load_dataset(name: str | os.PathLike[str], data_dir: str | Path | None = None) -> Dataset:
    """Load a data set by its name, or from an `.npz` file of one's own.

    Args:
        name: One of `DATASETS`, or the path of an `.npz` file (see `lemonade_tf.datasets.npz`).
        data_dir: The folder that holds the data sets that have files (see
            `lemonade_tf.datasets.cifar`), and that those which are fetched go to; by default
            `data` in the current directory. The path of an `.npz` file does not depend on it.

    Raises:
        DatasetError: If there is no such data set, or it cannot be used.
    """
    name = os.fspath(name)
    if name in DATASETS:
        return DATASETS[name](None if data_dir is None else Path(data_dir))
    path = Path(name).expanduser()
    if path.suffix == ".npz" or path.is_file():
        return _own(name, path)
    raise UnknownDatasetError(
        f"There is no data set {name!r}; give one of {', '.join(sorted(DATASETS))}, or the path of "
        "an .npz file with x_train and y_train."
    )


def load_datasets(
    dataset: str, data_dir: str | Path | None = None
) -> tuple[Dataset, dict[str, Dataset]]:
    """Load the data sets of a setting: the first, and the others by what they are called.

    Args:
        dataset: One as for `load_dataset`, or several, separated by commas.
        data_dir: As for `load_dataset`.

    Raises:
        DatasetError: One cannot be used, or their images differ in shape.
    """
    first, *others = (load_dataset(name, data_dir) for name in parse_datasets(dataset))
    further = dict(zip(extra_dataset_names(dataset), others, strict=True))
    for name, data in further.items():
        if data.input_shape != first.input_shape:
            raise DatasetError(
                f"the images of {name} are {_by(data)}, those of {first.name} {_by(first)};"
                " expected the same size and channels in all data sets of a search, as each"
                " network is trained on all of them. Bring the images to one size."
            )
    return first, further


def _by(data: Dataset) -> str:
    return "x".join(map(str, data.input_shape))


def _digits(data_dir: Path | None) -> Dataset:
    """Load scikit-learn's handwritten digits: 1,200 images, 297 for validation, 300 for test.

    They are 8 x 8 pixels with values from 0 to 16, brought to 0 to 255. They come with
    scikit-learn, so a search on them needs no download and takes minutes.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DatasetError(
            "The data set 'digits' comes with scikit-learn, which is not installed; run "
            "`pip install scikit-learn`."
        ) from error
    raw = load_digits()
    images = np.rint(raw.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = raw.target.astype(np.int32)
    rest, test = _hold_out(labels, 300)
    train, validation = (rest[part] for part in _hold_out(labels[rest], 297))
    return Dataset(
        name="digits",
        x_train=images[train],
        y_train=labels[train],
        x_validation=images[validation],
        y_validation=labels[validation],
        x_test=images[test],
        y_test=labels[test],
        num_classes=10,
    )


def _cifar(layout: Layout, data_dir: Path | None) -> Dataset:
    """Load CIFAR-10 or CIFAR-100: 45,000 images, 5,000 for validation, 10,000 for test.

    The number of classes is that of the data set, also where a smaller one has its layout.
    """
    (images, labels), (x_test, y_test) = read_cifar(layout, data_dir)
    train, validation = _hold_out_tenth(labels, f"{layout.name}: the training set")
    return Dataset(
        name=layout.name,
        x_train=images[train],
        y_train=labels[train],
        x_validation=images[validation],
        y_validation=labels[validation],
        x_test=x_test,
        y_test=y_test,
        num_classes=layout.num_classes,
    )


def _own(name: str, path: Path) -> Dataset:
    """Load an `.npz` file, and hold out a part for validation if it has none."""
    parts = read_npz(path)
    images, labels = parts["train"]
    num_classes = int(labels.max()) + 1
    if "validation" not in parts:
        train, validation = _hold_out_tenth(labels, f"{path}: y_train")
        parts["validation"] = images[validation], labels[validation]
        images, labels = images[train], labels[train]
    x_test, y_test = parts.get("test", (None, None))
    return Dataset(name, images, labels, *parts["validation"], x_test, y_test, num_classes)


def _hold_out_tenth(labels: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Split training examples in two: (those that stay, those for validation), as indices."""
    num_held_out = min(_MOST_VALIDATION_IMAGES, max(1, round(len(labels) / 10)))
    num_classes = len(np.unique(labels))
    if num_held_out > len(labels) - num_classes:
        raise DatasetError(
            f"{where} has {num_classes} classes in {len(labels)} images; expected "
            "more than one image a class, as a part is held out for validation."
        )
    return _hold_out(labels, num_held_out)


def _hold_out(labels: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Split examples in two: (those that stay, `num` held out), as indices in rising order.

    The examples are shuffled, then sorted by class, and held out at equal distances, so that each
    class gives its share. One of each class stays in any case.
    """
    # The legacy generator is the one whose numbers NumPy promises not to change.
    shuffled = np.random.RandomState(_SPLIT_SEED).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    first_of_class = np.diff(labels[order], prepend=-1) > 0
    pool = order[~first_of_class]
    held_out = np.sort(pool[np.arange(num) * len(pool) // num])
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def _channel_means(images: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Average a function of the pixels over each channel, in float64: (channels,)."""
    total = np.zeros(images.shape[-1])
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK].astype(np.float64)
        total += function(chunk).sum(axis=(0, 1, 2))
    return total / np.prod(images.shape[:3])


# A name to its loader, which is given the folder of the data sets (None: not given).
DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": _digits,
    "cifar10": partial(_cifar, CIFAR10),
    "cifar100": partial(_cifar, CIFAR100),
}
