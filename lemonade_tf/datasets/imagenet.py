"""Load the downsampled ImageNet: 1,281,167 training and 50,000 test images of 1,000 classes.

    DATA_DIR/imagenet64/    train_data_batch_1 to train_data_batch_10, val_data

The files may be pickles or `.npz` files, unpacked or in the official archives (`imagenet_sources`).
At 64 x 64 pixels, the images take 15.7 GB. So they are converted once into files that all processes
map into memory (`converted_files`), and no process holds a copy. The converted files lie in

    DATA_DIR/imagenet64/converted/

or, if that folder is read-only, in a folder of its own in the cache folder, which stays there. They
are converted again if an original has another size or time than then. Originals may be deleted.

The official labels start at 1, in the authors' own order of the classes (their map_clsloc.txt, not
the order of the WordNet ids); label k is class k - 1 here (`imagenet_classes` has the names). The
official validation images, `val_data`, are the test images; a part of the training images is held
out for validation, as for CIFAR. Files with fewer classes work as well: the number of classes is
the highest label.

References:
    Chrabaszcz, Loshchilov & Hutter, "A Downsampled Variant of ImageNet as an Alternative to the
    CIFAR Datasets", 2017, arXiv:1707.08819.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lemonade_tf.datasets.converted_files import CONVERTED, locked, map_dataset, read_manifest
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.imagenet_classes import class_names
from lemonade_tf.datasets.imagenet_conversion import convert, source_facts
from lemonade_tf.datasets.imagenet_sources import TEST, TRAIN, Source, advice, find_sources


def load_imagenet(side: int, data_dir: Path, cache: Path) -> Dataset:
    """Load the downsampled ImageNet; convert its files first if that has not been done.

    Args:
        side: The side of the images, in pixels.
        data_dir: The folder that contains the folder of the data set.
        cache: Where to create a folder for converted files if that one is read-only.

    Raises:
        DatasetError: If a file is missing or malformed, or the converted files cannot be written.
    """
    name = f"imagenet{side}"
    folder = data_dir / name
    if data_dir.name == name and any((data_dir / each).exists() for each in (TEST, CONVERTED)):
        raise DatasetError(
            f"{data_dir} is the folder of the data set itself; expected the folder that contains"
            f" it: --data_dir {data_dir.parent}."
        )
    dataset = _load(side, name, folder, cache)
    return replace(dataset, class_names=class_names(folder, dataset.num_classes))


def _load(side: int, name: str, folder: Path, cache: Path) -> Dataset:
    """Map the converted files; convert the originals first if that has not been done."""
    sources = find_sources(folder, side)
    for target in (folder / CONVERTED, _cached(cache, folder, name)):
        dataset = _mapped(name, target, sources)
        if dataset is not None:
            return dataset
    _check_complete(side, folder, sources)
    target, option = folder / CONVERTED, "--data_dir"
    # The folder does not exist yet if the archives are beside it.
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK | os.X_OK):
        target, option = _cached(cache, folder, name), "--cache_dir"
    with locked(target.parent):
        dataset = _mapped(name, target, sources)  # another process may have converted it meanwhile
        if dataset is None:
            convert(name, sources, side, target, option)
            dataset = _mapped(name, target, sources)
    if dataset is None:
        raise DatasetError(f"{target} changed while it was read; rerun the command.")
    return dataset


def _cached(cache: Path, folder: Path, name: str) -> Path:
    """Return the folder of converted files for originals in a folder that is read-only."""
    key = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    return cache / f"lemonade_tf-{name}-{key}" / CONVERTED


def _check_complete(side: int, folder: Path, sources: Mapping[str, Source]) -> None:
    missing = [name for name in (*TRAIN, TEST) if name not in sources]
    if not sources:
        raise DatasetError(
            f"{folder} has no files of the data set; expected {TRAIN[0]} to {TRAIN[-1]} and {TEST},"
            f" or the archives that contain them: {advice(side)}, and put them there."
        )
    if missing:
        raise DatasetError(
            f"{folder} has no {', '.join(missing)}; expected {TRAIN[0]} to {TRAIN[-1]} and {TEST}:"
            f" {advice(side, missing[0])}, and put it there."
        )


def _mapped(name: str, target: Path, sources: Mapping[str, Source]) -> Dataset | None:
    """Map converted files; return None if there are none, or they are out of date."""
    manifest = read_manifest(target, source_facts(sources))
    return None if manifest is None else map_dataset(name, target, manifest)
