"""Read labelled images from an `.npz` file, or say in one line what is wrong with it.

    numpy.savez("mine.npz", x_train=..., y_train=..., x_test=..., y_test=...)

Images are raw pixels, 0 to 255, of shape (images, height, width, channels) or, with one channel,
(images, height, width). Floats are taken as they are; a network then expects their range. Labels
are the whole numbers from 0 up. Nothing in the file is ever unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lemonade_tf.errors import LemonadeError

PARTS = ("train", "validation", "test")
FEWEST_IMAGES = 10

Examples = tuple[np.ndarray, np.ndarray]


class DatasetError(LemonadeError, ValueError):
    """A data set that is not there, or that cannot be used."""


def read_npz(path: Path) -> dict[str, Examples]:
    """Read the images and labels of a file, and check them.

    Args:
        path: A file with `x_train` and `y_train`; optional are `x_validation` and `y_validation`,
            and `x_test` and `y_test`.

    Returns:
        By part ("train", ...): images, uint8 or float32 (n, height, width, channels), and
        labels, int32 (n,). Every label is one of those in training.

    Raises:
        DatasetError: If there is no such file, or its arrays are not labelled images.
    """
    arrays = _arrays(path)
    parts = {"train": _examples(path, arrays, "train")}
    x_train, y_train = parts["train"]
    _check_training(path, x_train, y_train)
    for part in PARTS[1:]:
        if not {f"x_{part}", f"y_{part}"} & set(arrays):
            continue
        images, labels = parts[part] = _examples(path, arrays, part)
        if images.shape[1:] != x_train.shape[1:] or images.dtype != x_train.dtype:
            raise DatasetError(
                f"{path}: x_{part} has images of shape {images.shape[1:]} ({images.dtype}), "
                f"x_train of {x_train.shape[1:]} ({x_train.dtype}); prepare both alike."
            )
        if labels.max() > y_train.max():
            raise DatasetError(
                f"{path}: y_{part} holds the class {labels.max()}, but the classes in y_train are "
                f"0 to {y_train.max()}; number the classes alike in both."
            )
    return parts


# What NumPy and the archive's reader raise for files that are damaged, encrypted, or compressed in
# a way that they do not know.
_UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    """Load the arrays that belong to a data set."""
    if not path.is_file():
        raise DatasetError(
            f"There is no file {path}; give the path of an .npz file with x_train and y_train."
        )
    wanted = [f"{axis}_{part}" for part in PARTS for axis in "xy"]
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            arrays = {name: archive[name] for name in wanted if name in archive}
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise ValueError(f"{name} in it is no array")
        return arrays
    except MemoryError as error:
        raise DatasetError(
            f"{path} does not fit into memory ({one_line(error)}); leave out images, or make them"
            " smaller. If it should fit, the file is damaged."
        ) from error
    except _UNREADABLE as error:
        raise DatasetError(
            f"{path} cannot be read as an .npz file of plain arrays ({one_line(error)}); write it "
            "with numpy.savez(path, x_train=..., y_train=...), numbers only, no objects."
        ) from error


def _examples(path: Path, arrays: Mapping[str, np.ndarray], part: str) -> Examples:
    """Take the images and labels of one part."""
    for name in (f"x_{part}", f"y_{part}"):
        if name not in arrays:
            raise DatasetError(
                f"{path} has no array {name}, only {', '.join(arrays) or 'others'}; images and "
                f"labels come in pairs, x_{part} and y_{part}."
            )
    images = _images(f"{path}: x_{part}", arrays[f"x_{part}"])
    labels = _labels(f"{path}: y_{part}", arrays[f"y_{part}"])
    if len(images) != len(labels):
        raise DatasetError(
            f"{path}: x_{part} has {len(images)} images, y_{part} {len(labels)} labels; "
            "expected one label for each image."
        )
    return images, labels


def _images(where: str, images: np.ndarray) -> np.ndarray:
    """Bring images to (n, height, width, channels), uint8 or float32."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.size == 0:
        raise DatasetError(
            f"{where} has the shape {images.shape}; expected (images, height, width, channels) or "
            "(images, height, width), and none of them 0."
        )
    if images.dtype.kind in "iu":
        if images.min() < 0 or images.max() > 255:
            raise DatasetError(
                f"{where} has whole numbers from {images.min()} to {images.max()}; expected "
                "pixels from 0 to 255. Rescale them, or store them as floats."
            )
        return images.astype(np.uint8, copy=False)
    if images.dtype.kind != "f":
        raise DatasetError(
            f"{where} has the type {images.dtype}; expected uint8 pixels from 0 to 255, or floats."
        )
    with np.errstate(over="ignore"):
        images = images.astype(np.float32, copy=False)
    if not np.isfinite(images).all():
        raise DatasetError(
            f"{where} holds {np.count_nonzero(~np.isfinite(images))} values that are NaN or "
            "infinite; replace them, or leave out their images."
        )
    return images


def _labels(where: str, labels: np.ndarray) -> np.ndarray:
    """Bring labels to int32 (n,)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DatasetError(
            f"{where} has the shape {labels.shape}; expected (images,), the number of its class "
            "for each image. If it is one-hot, store labels.argmax(axis=1)."
        )
    if labels.dtype.kind not in "iuf":
        raise DatasetError(
            f"{where} has the type {labels.dtype}; expected whole numbers from 0 up. Number the "
            "classes: numpy.unique(labels, return_inverse=True)[1]."
        )
    if labels.dtype.kind == "f":
        labels = labels.astype(np.float64)  # whose largest number is beyond the limit
    wrong = labels[(labels < 0) | (labels != np.floor(labels)) | (labels > 2**31 - 1)]
    if len(wrong):
        raise DatasetError(
            f"{where} holds {wrong[0]}; expected whole numbers from 0 up. Number the classes: "
            "numpy.unique(labels, return_inverse=True)[1]."
        )
    return labels.astype(np.int32)


def _check_training(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Check that there is something to learn."""
    if len(images) < FEWEST_IMAGES:
        raise DatasetError(
            f"{path}: x_train has {len(images)} images; expected at least {FEWEST_IMAGES}, as a "
            "part of them is held out for validation."
        )
    present = np.unique(labels)
    if len(present) < 2:
        raise DatasetError(
            f"{path}: y_train holds the class {present[0]} only; expected at least two classes."
        )
    if len(present) != present[-1] + 1:
        [missing, *_] = np.setdiff1d(np.arange(min(present[-1], len(present)) + 1), present)
        raise DatasetError(
            f"{path}: y_train holds {len(present)} classes, numbered up to {present[-1]}, but no "
            f"{missing}; expected 0 to {len(present) - 1}. Number the classes: "
            "numpy.unique(labels, return_inverse=True)[1]."
        )


def one_line(error: object) -> str:
    """Return what an exception says in one line, without a full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
