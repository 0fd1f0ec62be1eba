"""Load data sets by name or from a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from lemonade_tf.datasets.array_files import Allocate, cache_folder
from lemonade_tf.datasets.cifar import CIFAR10, CIFAR100, load_cifar
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError, UnknownDatasetError
from lemonade_tf.datasets.digits import load_digits_dataset
from lemonade_tf.datasets.imagenet import load_imagenet
from lemonade_tf.datasets.names import extra_dataset_names, parse_datasets
from lemonade_tf.datasets.npz import load_npz

# Loaders by name; each takes the folder that holds the files of data sets, the function with which
# it allocates its images, so that workers share large ones (see `array_files`), and the folder for
# files that can be made again.
DATASETS: Mapping[str, Callable[[Path, Allocate, Path], Dataset]] = {
    "digits": lambda *_: load_digits_dataset(),
    "cifar10": lambda folder, allocate, _: load_cifar(CIFAR10, folder, allocate),
    "cifar100": lambda folder, allocate, _: load_cifar(CIFAR100, folder, allocate),
    "imagenet16": lambda folder, _, cache: load_imagenet(16, folder, cache),
    "imagenet32": lambda folder, _, cache: load_imagenet(32, folder, cache),
    "imagenet64": lambda folder, _, cache: load_imagenet(64, folder, cache),
}
DATA_DIR = Path("data")  # in the current directory


def load_dataset(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    allocate: Allocate = np.empty,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Load a data set by name, or from an `.npz` file.

    Args:
        name: One of `DATASETS`, or the path of an `.npz` file (see `lemonade_tf.datasets.npz`, and
            `npz_names` for the names of its arrays).
        data_dir: The folder with the files of named data sets, which are downloaded into it if
            they are missing (see `lemonade_tf.datasets.cifar`); by default `data` in the current
            directory. Paths of `.npz` files are not relative to it.
        allocate: Allocates the arrays of images; see `ArrayFiles`.
        cache_dir: Folder for the converted ImageNet if the folder of its files is read-only (see
            `lemonade_tf.datasets.imagenet`); by default as for `ArrayFiles`.

    Raises:
        DatasetError: If the data set is unknown or cannot be used.
    """
    name = os.fspath(name)
    if name in DATASETS:
        folder = DATA_DIR if data_dir is None else Path(data_dir).expanduser()
        return DATASETS[name](folder, allocate, cache_folder(cache_dir))
    path = Path(name).expanduser()
    if path.suffix == ".npz" or path.is_file():
        return load_npz(name, path, allocate)
    raise UnknownDatasetError(
        f"unknown data set {name!r}; expected one of {', '.join(sorted(DATASETS))}, or the path of"
        " an .npz file with x_train and y_train."
    )


def load_datasets(
    dataset: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    allocate: Allocate = np.empty,
    cache_dir: str | os.PathLike[str] | None = None,
) -> tuple[Dataset, dict[str, Dataset]]:
    """Load the data sets of a `dataset` setting.

    Args:
        dataset: One or several data sets as for `load_dataset`, separated by commas.
        data_dir: As for `load_dataset`.
        allocate: As for `load_dataset`.
        cache_dir: As for `load_dataset`.

    Returns:
        The first data set, and the extra ones by name.

    Raises:
        DatasetError: If one cannot be used, or their images differ in shape.
    """
    first, *others = (
        load_dataset(name, data_dir, allocate=allocate, cache_dir=cache_dir)
        for name in parse_datasets(dataset)
    )
    extra_datasets = dict(zip(extra_dataset_names(dataset), others, strict=True))
    for name, extra in extra_datasets.items():
        if extra.input_shape != first.input_shape:
            raise DatasetError(
                f"{name} has images of {_shape(extra)}, {first.name} of {_shape(first)}; expected"
                " the same size and channels in all data sets of a search, as every network is"
                " trained on each. Resize the images."
            )
    return first, extra_datasets


def _shape(dataset: Dataset) -> str:
    return "x".join(map(str, dataset.input_shape))


def reading_text(dataset: str) -> str:
    """Return a sentence that says that the data sets of a setting are read."""
    names = parse_datasets(dataset)
    is_downloaded = any(name in (CIFAR10.name, CIFAR100.name) for name in names)
    note = "; missing files are downloaded" if is_downloaded else ""
    return f"Reading the images of {', '.join(names)}{note}."
