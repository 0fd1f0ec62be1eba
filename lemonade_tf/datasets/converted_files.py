"""Keep a data set that takes long to read in files that processes map into memory.

    train_images.npy    uint8 (n, height, width, channels): training images, then those held out
    train_labels.npy    their classes from 0 on, int32 (n,)
    test_images.npy     the same of the test images, if there are any
    test_labels.npy
    manifest.json       facts about the originals; size and SHA-256 of each converted file; what
                        takes a pass over all images to compute

Images are written in the order of the originals, some at a time, and those that are held out for
validation then change places with the last images. So the training images, those for validation,
and both together are each one piece of a file.

The folder appears complete or not at all: it is written under another name, flushed to the disk,
and renamed. A conversion that was killed starts over.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.architecture.layers import Rescaling
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.safe_json import read_json
from lemonade_tf.store.atomic import sync
from lemonade_tf.store.disk_errors import StoreError
from lemonade_tf.store.locks import lock_folder

CONVERTED = "converted"  # the name of such a folder
TRAIN_IMAGES, TRAIN_LABELS = "train_images.npy", "train_labels.npy"
TEST_IMAGES, TEST_LABELS = "test_images.npy", "test_labels.npy"
_FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
_MANIFEST = "manifest.json"
_FORMAT = 1
_PIECE = 2**20  # bytes
_ROWS = 4096  # images copied at a time
_PAUSE = 600.0  # seconds between two messages of a process that waits


# --- Read ------------------------------------------------------------------------------------


def read_manifest(folder: Path, sources: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of converted files; None if there are none, or they are out of date.

    Args:
        folder: The folder of the converted files.
        sources: Facts about the originals that are there now; the others may have been deleted.
    """
    try:
        manifest = read_json((folder / _MANIFEST).read_bytes())
        if manifest["format"] != _FORMAT:
            return None
        for name, facts in manifest["files"].items():
            if (folder / name).stat().st_size != facts["bytes"]:
                return None
        recorded = manifest["sources"]
        if any(facts != recorded.get(name) for name, facts in sources.items()):
            return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return manifest


def map_dataset(name: str, folder: Path, manifest: Mapping[str, Any]) -> Dataset:
    """Map converted files as a data set.

    Args:
        name: The name of the data set.
        folder: The folder of the converted files.
        manifest: Their manifest.

    Raises:
        DatasetError: If a file cannot be mapped.
    """
    rescaling, class_names = manifest["rescaling"], manifest.get("class_names")
    return _mapped(
        name,
        folder,
        manifest["num_validation"],
        num_classes=manifest["num_classes"],
        class_names=None if class_names is None else tuple(class_names),
        known_rescaling=Rescaling(tuple(rescaling["scale"]), tuple(rescaling["offset"])),
        known_digest=manifest["digest"],
    )


def _mapped(name: str, folder: Path, num_validation: int, **known: Any) -> Dataset:
    """Map converted files as a data set with some known attributes."""
    try:
        images = np.load(folder / TRAIN_IMAGES, mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / TRAIN_LABELS, allow_pickle=False)
        x_test = y_test = None
        if (folder / TEST_IMAGES).exists():
            x_test = np.load(folder / TEST_IMAGES, mmap_mode="r", allow_pickle=False)
            y_test = np.load(folder / TEST_LABELS, allow_pickle=False)
        num_training = len(images) - num_validation
        row = int(np.prod(images.shape[1:]))
        x_train, x_validation = (
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
    y_train, y_validation = labels[:num_training], labels[num_training:]
    return Dataset(name, x_train, y_train, x_validation, y_validation, x_test, y_test, **known)


# --- Write -----------------------------------------------------------------------------------


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from converting into the same folder; wait for one that does.

    Raises:
        DatasetError: If the folder cannot be created or locked.
    """
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
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


@contextmanager
def replacing_folder(target: Path, option: str) -> Iterator[Path]:
    """Yield a new folder, which is renamed at the end if there was no error.

    Args:
        target: The name that it gets; an existing folder is replaced.
        option: The option with which the user can choose another place.

    Raises:
        DatasetError: If a file cannot be written, for instance because the disk is full.
    """
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        yield unfinished
        for path in (*unfinished.iterdir(), unfinished):
            sync(path)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
        sync(target.parent)
    except OSError as error:
        raise DatasetError(
            f"{target} cannot be written ({one_line(error.strerror or error)}). Free some space"
            f" there, or choose another folder with {option}."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_space(folder: Path, num_bytes: int, option: str) -> None:
    """Check that there is space for converted images.

    Raises:
        DatasetError: If there is not; `option` lets the user choose another place.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise DatasetError(
            f"{folder.parent} has {free / 1e9:.1f} GB of free space; expected"
            f" {num_bytes / 1e9:.1f} GB for the converted images. Free some space there, or choose"
            f" another folder with {option}."
        )


def write_images(
    path: Path, shape: tuple[int, int, int], parts: Iterable[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Write images to a `.npy` file, some at a time, and return their labels.

    Args:
        path: The file.
        shape: The shape of an image.
        parts: Images, uint8 (m, height, width, channels), and labels, int32 (m,).
    """
    labels = [np.empty(0, np.int32)]
    with path.open("wb") as file:
        _write_header(file, 0, shape)
        for images, some in parts:
            file.write(np.ascontiguousarray(images).data)
            labels.append(some)
        file.seek(0)
        _write_header(file, sum(map(len, labels)), shape)
    return np.concatenate(labels)


def _write_header(file: Any, num_images: int, shape: tuple[int, int, int]) -> None:
    # NumPy pads headers, so that they have the same length for any number of rows.
    header = {"descr": "|u1", "fortran_order": False, "shape": (num_images, *shape)}
    np.lib.format.write_array_header_1_0(file, header)


def write_manifest(
    name: str,
    folder: Path,
    sources: Mapping[str, Any],
    *,
    num_classes: int,
    num_validation: int,
    class_names: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the manifest of a folder with all other files.

    Args:
        name: The name of the data set.
        folder: The folder.
        sources: Facts about the originals, by name.
        num_classes: The number of classes.
        num_validation: How many images of the training file are for validation, the last ones.
        class_names: The names of the classes, if they have any.
        notes: Sentences to report whenever the data set is loaded.
    """
    dataset = _mapped(name, folder, num_validation, num_classes=num_classes)
    rescaling = dataset.rescaling()
    manifest = {
        "format": _FORMAT,
        "num_classes": num_classes,
        "class_names": class_names,
        "num_validation": num_validation,
        "rescaling": {
            "scale": np.ravel(rescaling.scale).tolist(),
            "offset": np.ravel(rescaling.offset).tolist(),
        },
        "digest": dataset.digest(),
        "files": {
            each: {"bytes": (folder / each).stat().st_size, "sha256": _sha256(folder / each)}
            for each in _FILES
            if (folder / each).exists()
        },
        "sources": sources,
        "notes": list(notes),
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def move_to_end(path: Path, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
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


def split_off(
    path: Path, labels: np.ndarray, num: int, target: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Move the last images of a file to another one, and return the labels of both.

    Args:
        path: The `.npy` file.
        labels: The labels of its images.
        num: How many images to move.
        target: The file to write.
    """
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    split, shape = len(images) - num, images.shape[1:]
    starts = range(split, len(images), _ROWS)
    rows = (slice(start, min(start + _ROWS, len(images))) for start in starts)
    moved = write_images(target, shape, ((images[each], labels[each]) for each in rows))
    os.truncate(path, images.offset + split * int(np.prod(shape)))
    with path.open("r+b") as file:
        _write_header(file, split, shape)
    return labels[:split], moved


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
