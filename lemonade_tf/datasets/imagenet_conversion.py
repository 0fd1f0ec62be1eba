"""Convert the files of the downsampled ImageNet into files that processes map into memory.

    converted/train_images.npy    uint8 (n, side, side, 3): training images, then those held out
    converted/train_labels.npy    their classes from 0 on, int32 (n,)
    converted/test_images.npy     the same of the test images
    converted/test_labels.npy
    converted/manifest.json       name, size and time of each original; size and SHA-256 of each
                                  converted file; what takes a pass over all images to compute

Images are written in the order of the originals, one original at a time, and the stratified part
that is held out for validation (at most 5,000 images) then changes places with the last images.
So the training images, those for validation, and both together are each one piece of a file.

The folder appears complete or not at all: it is written under another name, flushed to the disk,
and renamed. A conversion that was killed starts over.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.datasets.imagenet_batches import Batch, read_batch
from lemonade_tf.datasets.imagenet_sources import TEST, TRAIN, Source, advice
from lemonade_tf.datasets.splits import hold_out_validation
from lemonade_tf.safe_json import read_json
from lemonade_tf.store.atomic import sync
from lemonade_tf.store.disk_errors import StoreError
from lemonade_tf.store.locks import lock_folder

CONVERTED = "converted"
TRAIN_IMAGES, TRAIN_LABELS = "train_images.npy", "train_labels.npy"
TEST_IMAGES, TEST_LABELS = "test_images.npy", "test_labels.npy"
_FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
_MANIFEST = "manifest.json"
_FORMAT = 1
_MAX_REMAINDER = 9  # images more in the last of ten files
_PIECE = 2**20  # bytes
_PAUSE = 600.0  # seconds between two messages of a process that waits


# --- Read ------------------------------------------------------------------------------------


def read_manifest(folder: Path, sources: Mapping[str, Source]) -> dict[str, Any] | None:
    """Return the manifest of converted files; None if there are none, or they are out of date.

    Args:
        folder: The folder of the converted files.
        sources: The originals that are there now; the others may have been deleted.
    """
    try:
        manifest = read_json((folder / _MANIFEST).read_bytes())
        if manifest["format"] != _FORMAT:
            return None
        for name, facts in manifest["files"].items():
            if (folder / name).stat().st_size != facts["bytes"]:
                return None
        recorded = manifest["sources"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if any(_facts(source) != recorded.get(name) for name, source in sources.items()):
        return None
    return manifest


def map_images(folder: Path, num_training: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Map the training, validation and test images of a folder of converted files.

    Args:
        folder: The folder.
        num_training: The number of training images, which those for validation follow.

    Raises:
        DatasetError: If a file cannot be mapped.
    """
    try:
        images = np.load(folder / TRAIN_IMAGES, mmap_mode="r", allow_pickle=False)
        test = np.load(folder / TEST_IMAGES, mmap_mode="r", allow_pickle=False)
        row = int(np.prod(images.shape[1:]))
        training, validation = (
            np.memmap(
                folder / TRAIN_IMAGES,
                np.uint8,
                "r",
                images.offset + first * row,
                (last - first, *images.shape[1:]),
            )
            for first, last in ((0, num_training), (num_training, len(images)))
        )
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{folder} cannot be read ({one_line(error)}); delete it to convert the files again."
        ) from error
    return training, validation, test


def _facts(source: Source) -> dict[str, Any]:
    return {
        "file": source.path.name,
        "member": source.member,
        "bytes": source.num_bytes,
        "modified": source.modified,
    }


# --- Write -----------------------------------------------------------------------------------


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from converting into the same folder; wait for one that does.

    Raises:
        DatasetError: If the folder cannot be created or locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(folder)
        while lock is None:
            print(f"Waiting for another process, which converts the images of {folder}", flush=True)
            lock = lock_folder(folder, seconds=_PAUSE)
    except (OSError, StoreError) as error:
        raise DatasetError(f"{one_line(error)}. Choose a folder with --cache_dir.") from error
    try:
        yield
    finally:
        os.close(lock)


def convert(name: str, sources: Mapping[str, Source], side: int, target: Path) -> None:
    """Convert the originals; print a line per file.

    Args:
        name: The name of the data set.
        sources: All originals by name.
        side: The side of the images, in pixels.
        target: The folder to create; an existing one is replaced.

    Raises:
        DatasetError: If an original is malformed, or the disk is full.
    """
    unfinished = target.with_name(f".{target.name}.unfinished")
    start = time.monotonic()
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        _check_space(sources, unfinished)
        print(f"Converting {name} once, into {target}", flush=True)
        manifest = _write(name, sources, side, unfinished)
        (unfinished / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        for path in (*unfinished.iterdir(), unfinished):
            sync(path)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
        sync(target.parent)
    except OSError as error:
        raise DatasetError(
            f"{target} cannot be written ({one_line(error.strerror or error)}). Free some space"
            " there, or choose another folder with --data_dir."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    print(
        f"Converted {name} in {time.monotonic() - start:.0f} s; the originals may be deleted",
        flush=True,
    )


def _check_space(sources: Mapping[str, Source], folder: Path) -> None:
    """Check that there is space for the images, which take as much as the originals, unpacked."""
    needed = sum(source.num_bytes for source in sources.values() if not source.is_npz)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DatasetError(
            f"{folder.parent} has {free / 1e9:.1f} GB of free space; expected {needed / 1e9:.1f} GB"
            " for the converted images. Free some space there, or choose another folder with"
            " --data_dir."
        )


def _write(name: str, sources: Mapping[str, Source], side: int, folder: Path) -> dict[str, Any]:
    """Write the converted files, and return the manifest."""
    training = _check_batches({each: sources[each] for each in TRAIN}, side)
    labels = _write_images(folder / TRAIN_IMAGES, training, side)
    test_labels = _write_images(folder / TEST_IMAGES, _check_test(sources[TEST], side), side)
    num_classes = int(labels.max()) + 1
    _check_classes(name, labels, test_labels, num_classes)
    _, held_out = hold_out_validation(labels, f"{name}: the training set")
    labels = _move_to_end(folder / TRAIN_IMAGES, labels, held_out)
    np.save(folder / TRAIN_LABELS, labels)
    np.save(folder / TEST_LABELS, test_labels)
    print("  computing checksums and channel statistics", flush=True)
    num_training = len(labels) - len(held_out)
    x_train, x_validation, x_test = map_images(folder, num_training)
    y_train, y_validation = labels[:num_training], labels[num_training:]
    dataset = Dataset(
        name, x_train, y_train, x_validation, y_validation, x_test, test_labels, num_classes
    )
    rescaling = dataset.rescaling()
    return {
        "format": _FORMAT,
        "num_classes": num_classes,
        "num_validation": len(held_out),
        "rescaling": {
            "scale": np.ravel(rescaling.scale).tolist(),
            "offset": np.ravel(rescaling.offset).tolist(),
        },
        "digest": dataset.digest(),
        "files": {
            each: {"bytes": (folder / each).stat().st_size, "sha256": _sha256(folder / each)}
            for each in _FILES
        },
        "sources": {each: _facts(source) for each, source in sources.items()},
    }


def _check_batches(sources: Mapping[str, Source], side: int) -> Iterator[tuple[Source, Batch]]:
    """Read the files with training images, and check that they belong together."""
    counts: list[int] = []
    has_mean: bool | None = None
    for source in sources.values():
        batch = read_batch(source, side)
        counts.append(len(batch.labels))
        most = counts[0] + (_MAX_REMAINDER if source.name == TRAIN[-1] else 0)
        if not counts[0] <= counts[-1] <= most:
            raise _swapped(
                source, side, f"has {counts[-1]:,} images and {TRAIN[0]} has {counts[0]:,}"
            )
        has_mean = batch.has_mean if has_mean is None else has_mean
        if batch.has_mean != has_mean:
            raise _swapped(source, side, f"differs from {TRAIN[0]}: one of them has no mean")
        yield source, batch


def _check_test(source: Source, side: int) -> Iterator[tuple[Source, Batch]]:
    batch = read_batch(source, side)
    if batch.has_mean:
        raise _swapped(source, side, "has the mean of the training images")
    yield source, batch


def _swapped(source: Source, side: int, problem: str) -> DatasetError:
    return DatasetError(
        f"{source} {problem}; expected the official {source.name}. Is it another file under this"
        f" name? Delete it and {advice(side, source.name)}."
    )


def _check_classes(
    name: str, labels: np.ndarray, test_labels: np.ndarray, num_classes: int
) -> None:
    """Check that training has images of all classes, and the test no others."""
    absent = np.setdiff1d(np.arange(num_classes), labels)
    if len(absent) or num_classes < 2:
        numbers = ", ".join(str(each + 1) for each in absent[:5]) or "2"
        raise DatasetError(
            f"{name} has training images with labels up to {num_classes}, but none with label"
            f" {numbers}; expected all from 1 on, and at least two. Number the classes from 1."
        )
    if test_labels.max() >= num_classes:
        raise DatasetError(
            f"{name} has test images with label {test_labels.max() + 1}, but training images only"
            f" up to {num_classes}; expected the same classes. Replace {TEST}."
        )


def _write_images(path: Path, batches: Iterator[tuple[Source, Batch]], side: int) -> np.ndarray:
    """Write the images of some originals to a `.npy` file, and return their labels."""
    labels: list[np.ndarray] = []
    digests: dict[str, str] = {}
    with path.open("wb") as file:
        _write_header(file, 0, side)
        for source, batch in batches:
            digest = hashlib.sha256()
            for images in batch.images:
                file.write(images.data)
                digest.update(images.data)
            copied = digests.setdefault(digest.hexdigest(), source.name)
            if copied != source.name:
                raise _swapped(source, side, f"has the same images as {copied}")
            labels.append(batch.labels)
            print(f"  {source}: {len(batch.labels):,} images", flush=True)
        file.seek(0)
        _write_header(file, sum(map(len, labels)), side)
    return np.concatenate(labels)


def _write_header(file: Any, num_images: int, side: int) -> None:
    # NumPy pads headers, so that they have the same length for any number of rows.
    shape = (num_images, side, side, 3)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _move_to_end(path: Path, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Move some images to the end of a file, in order; return the labels in the new order.

    The images that were at the end take the places that become free, in order.

    Args:
        path: The `.npy` file.
        labels: The labels of its images.
        rows: The indices of the images to move, ascending.
    """
    start = len(labels) - len(rows)
    displaced = np.setdiff1d(np.arange(start, len(labels)), rows)
    order = np.arange(len(labels))
    order[rows[rows < start]] = displaced
    order[start:] = rows
    images = np.load(path, mmap_mode="r+", allow_pickle=False)
    changed = np.flatnonzero(order != np.arange(len(order)))
    images[changed] = images[order[changed]]
    images.flush()
    return labels[order]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
