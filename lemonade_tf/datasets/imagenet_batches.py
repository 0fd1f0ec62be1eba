"""Read a file of the downsampled ImageNet.

A file is a pickled dictionary, or an `.npz` file with the same keys. Its `data` are uint8 (images,
3 * side^2): the red plane of an image row by row, then the green, then the blue. Its `labels` are
integers from 1 on, in the authors' own order of the classes. Files with training images also have
the `mean` of all training images, which is not used here.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isqrt
from typing import IO

import numpy as np

from lemonade_tf.datasets.dataset_error import DatasetError, one_line
from lemonade_tf.datasets.imagenet_sources import Source, advice
from lemonade_tf.datasets.npz_members import npz_members
from lemonade_tf.datasets.pickles import read_pickle
from lemonade_tf.errors import quoted

MAX_CLASSES = 1000
_CHUNK = 2048  # images converted from planes to pixels at a time
_UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)

_Open = Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Batch:
    """The content of a file.

    Attributes:
        labels: Class indices from 0 on, int32 (n,).
        has_mean: Whether the file has the mean of the training images.
        images: Yields its images once, some at a time: uint8 (m, side, side, 3).
    """

    labels: np.ndarray
    has_mean: bool
    images: Iterator[np.ndarray]


def read_batch(source: Source, side: int) -> Batch:
    """Read a file; of an `.npz` file that is not in an archive, only some images at a time.

    Args:
        source: The file.
        side: The side of the images, in pixels.

    Raises:
        DatasetError: If it does not hold such images, now or while they are read.
    """
    with _explained(source, side):
        open_file = _opener(source)
        if source.is_npz:
            with open_file() as file:
                arrays = npz_members(file, ("data", "labels", "mean"))
                _check_keys(source, arrays, side)
                data, labels = arrays["data"], arrays["labels"].read()
                _check_images(source, data.shape, data.dtype, side)
            rows = _npz_rows(open_file)
        else:
            with open_file() as file:
                arrays = read_pickle(file, str(source))
            _check_keys(source, arrays, side)
            data, labels = arrays["data"], arrays["labels"]
            if not isinstance(data, np.ndarray):
                raise ValueError(f"data is a {type(data).__name__}, not an array")
            _check_images(source, data.shape, data.dtype, side)
            rows = iter([data])
    indices = _class_indices(source, labels, side)
    if len(indices) != data.shape[0]:
        raise DatasetError(
            f"{source} has {data.shape[0]} images and {len(indices)} labels; expected one label per"
            f" image. Delete it and {advice(side, source.name)}."
        )
    return Batch(indices, "mean" in arrays, _images(source, rows, side))


@contextmanager
def _explained(source: Source, side: int) -> Iterator[None]:
    """Raise the errors of reading a file as `DatasetError`."""
    try:
        yield
    except DatasetError:
        raise
    except MemoryError as error:
        raise DatasetError(
            f"{source} does not fit into memory, {source.num_bytes / 1e9:.1f} GB; unpack it, and"
            " use .npz files, which are read piece by piece."
        ) from error
    except _UNREADABLE as error:
        raise DatasetError(
            f"{source} cannot be read ({one_line(error)}); perhaps its download was interrupted:"
            f" delete it and {advice(side, source.name)}."
        ) from error


def _opener(source: Source) -> _Open:
    """Return a function that opens the file; members of archives are unpacked into memory."""
    if source.member is None:
        return lambda: source.path.open("rb")
    with zipfile.ZipFile(source.path) as archive:
        content = archive.read(source.member)
    return lambda: io.BytesIO(content)


def _npz_rows(open_file: _Open) -> Iterator[np.ndarray]:
    with open_file() as file:
        yield from npz_members(file, ("data",))["data"].rows()


def _images(source: Source, rows: Iterator[np.ndarray], side: int) -> Iterator[np.ndarray]:
    """Convert planes to pixels."""
    with _explained(source, side):
        for part in rows:
            for start in range(0, len(part), _CHUNK):
                planes = part[start : start + _CHUNK].reshape(-1, 3, side, side)
                yield np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _check_keys(source: Source, arrays: Mapping[str, object], side: int) -> None:
    if not {"data", "labels"} <= set(arrays):
        found = ", ".join(quoted(name) for name in list(arrays)[:8]) or "nothing"
        raise DatasetError(
            f"{source} has keys {found}; expected data and labels. Is it a file of another data"
            f" set? {advice(side, source.name).capitalize()}."
        )


def _check_images(source: Source, shape: tuple[int, ...], dtype: np.dtype, side: int) -> None:
    if dtype == np.uint8 and len(shape) == 2 and shape[0] and shape[1] == 3 * side**2:
        return
    hint = f"{advice(side, source.name).capitalize()}"
    other = isqrt(shape[1] // 3) if len(shape) == 2 else 0
    if other and other != side and 3 * other**2 == shape[1]:
        hint = f"These are images of {other} x {other}: use --dataset imagenet{other}"
    raise DatasetError(
        f"{source} has data of shape {quoted(shape)} and type {quoted(dtype)}; expected uint8"
        f" (images, {3 * side**2}), the planes of {side} x {side} pixels. {hint}."
    )


def _class_indices(source: Source, labels: object, side: int) -> np.ndarray:
    """Check labels, and convert them to class indices, int32 (n,)."""
    numbers = labels if isinstance(labels, list | np.ndarray) else None
    if isinstance(numbers, list):
        are_integers = all(type(label) is int for label in numbers)
    else:
        are_integers = numbers is not None and numbers.ndim == 1 and numbers.dtype.kind in "iu"
    if numbers is None or not are_integers:
        raise DatasetError(
            f"{source} has labels that are not a list of integers; expected numbers from 1 to"
            f" {MAX_CLASSES}. Delete it and {advice(side, source.name)}."
        )
    for label in (min(numbers), max(numbers)) if len(numbers) else ():
        if not 1 <= label <= MAX_CLASSES:
            raise DatasetError(
                f"{source} has the label {label}; expected 1 to {MAX_CLASSES}, because the official"
                " labels start at 1. Number the classes from 1."
            )
    return np.asarray(numbers, np.int32) - np.int32(1)
