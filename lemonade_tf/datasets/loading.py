"""Load data sets by name, or from files."""

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
from lemonade_tf.datasets.names import extra_dataset_names, is_tfds, parse_datasets
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
    image_size: tuple[int, ...] | None = None,
) -> Dataset:
    """Load a data set by name, or from files.

    Args:
        name: One of `DATASETS`; the path of an `.npz` file (see `lemonade_tf.datasets.npz`, and
            `npz_names` for the names of its arrays); that of a folder of class folders with
            pictures, or of a zip of one (see `lemonade_tf.datasets.pictures`); or `tfds:NAME` (see
            `lemonade_tf.datasets.tfds`).
        data_dir: The folder with the files of named data sets, which are downloaded into it if
            they are missing (see `lemonade_tf.datasets.cifar`); by default `data` in the current
            directory. Paths are not relative to it.
        allocate: Allocates the arrays of images; see `ArrayFiles`.
        cache_dir: Folder for converted pictures, and for the converted ImageNet if the folder of
            its files is read-only (see `lemonade_tf.datasets.imagenet`); by default as for
            `ArrayFiles`.
        image_size: Height and width of images that are made from pictures; see
            `lemonade_tf.datasets.pictures` for the default.

    Raises:
        DatasetError: If the data set is unknown or cannot be used.
    """
    name = os.fspath(name)
    if name in DATASETS:
        folder = DATA_DIR if data_dir is None else Path(data_dir).expanduser()
        return DATASETS[name](folder, allocate, cache_folder(cache_dir))
    cache = cache_folder(cache_dir)
    if is_tfds(name):
        from lemonade_tf.datasets.tfds import load_tfds

        return load_tfds(name, data_dir, cache, image_size)
    path = Path(name).expanduser()
    if path.suffix != ".npz" and (path.is_dir() or path.suffix.lower() == ".zip"):
        if not path.exists():
            raise DatasetError(f"{path} does not exist; expected a zip of class folders.")
        from lemonade_tf.datasets.pictures import load_pictures

        return load_pictures(name, path, cache, image_size)
    if path.suffix == ".npz" or path.is_file():
        return load_npz(name, path, allocate)
    raise UnknownDatasetError(
        f"unknown data set {name!r}; expected one of {', '.join(sorted(DATASETS))}, tfds:NAME,"
        " or the path of a folder of class folders with pictures, of a .zip of one, or of an .npz"
        " file with x_train and y_train. There is no such folder or file."
    )


def load_datasets(
    dataset: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    allocate: Allocate = np.empty,
    cache_dir: str | os.PathLike[str] | None = None,
    image_size: tuple[int, ...] | None = None,
) -> tuple[Dataset, dict[str, Dataset]]:
    """Load the data sets of a `dataset` setting.

    Args:
        dataset: One or several data sets as for `load_dataset`, separated by commas.
        data_dir: As for `load_dataset`.
        allocate: As for `load_dataset`.
        cache_dir: As for `load_dataset`.
        image_size: As for `load_dataset`; by default, that of the first data set for all.

    Returns:
        The first data set, and the extra ones by name.

    Raises:
        DatasetError: If one cannot be used, or their images differ in shape.
    """

    def load(name: str, image_size: tuple[int, ...] | None) -> Dataset:
        return load_dataset(
            name, data_dir, allocate=allocate, cache_dir=cache_dir, image_size=image_size
        )

    names = parse_datasets(dataset)
    if "," in dataset and Path(dataset).expanduser().exists():
        raise DatasetError(
            f"{dataset} contains a comma, which separates data sets; expected a path without one."
            " Rename it, or use a symbolic link."
        )
    first = load(names[0], image_size)
    others = [load(name, image_size or first.input_shape[:2]) for name in names[1:]]
    extra_datasets = dict(zip(extra_dataset_names(dataset), others, strict=True))
    for name, extra in extra_datasets.items():
        if extra.input_shape != first.input_shape:
            raise DatasetError(
                f"{name} has images of {_shape(extra)}, {first.name} of {_shape(first)}; expected"
                " the same size and channels in all data sets of a search, as every network is"
                " trained on each. Resize the images, by --image_size if they are pictures."
            )
    return first, extra_datasets


def takes_image_size(dataset: str) -> bool:
    """Return whether a setting names pictures, which are resized."""
    return any(
        is_tfds(name)
        or (
            name not in DATASETS
            and (Path(name).suffix.lower() == ".zip" or Path(name).expanduser().is_dir())
        )
        for name in parse_datasets(dataset)
    )


def _shape(dataset: Dataset) -> str:
    return "x".join(map(str, dataset.input_shape))


def reading_text(dataset: str) -> str:
    """Return a sentence that says that the data sets of a setting are read."""
    names = parse_datasets(dataset)
    is_downloaded = any(is_tfds(name) or name in (CIFAR10.name, CIFAR100.name) for name in names)
    note = "; missing files are downloaded" if is_downloaded else ""
    return f"Reading the images of {', '.join(names)}{note}."
