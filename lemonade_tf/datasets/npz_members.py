"""Read the arrays of an `.npz` file piece by piece: it may be larger than the memory.

An `.npz` file is a zip archive of `.npy` files, stored or compressed. Its checksums are verified by
reading every array to the end.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

_BYTES = 2**23  # of the rows that are read at a time
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class NpzMember:
    """An array in an opened `.npz` file.

    Attributes:
        archive: The file.
        info: Its member.
        shape: The shape of the array.
        dtype: Its type.
    """

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self) -> np.ndarray:
        """Read the whole array."""
        return np.concatenate([np.empty((0, *self.shape[1:]), self.dtype), *self.rows()])

    def rows(self) -> Iterator[np.ndarray]:
        """Yield some rows at a time, in order.

        Raises:
            ValueError: If the array ends early.
        """
        row_bytes = prod(self.shape[1:]) * self.dtype.itemsize
        size = max(1, _BYTES // max(1, row_bytes))
        with self.archive.open(self.info) as file:
            _, is_fortran, _ = _read_header(file)
            if is_fortran:  # the first axis varies fastest, so that rows are not in one piece
                content = _read(file, prod(self.shape) * self.dtype.itemsize)
                yield np.frombuffer(content, self.dtype).reshape(self.shape, order="F")
            else:
                for start in range(0, self.shape[0], size):
                    shape = (min(size, self.shape[0] - start), *self.shape[1:])
                    content = _read(file, shape[0] * row_bytes)
                    yield np.frombuffer(content, self.dtype).reshape(shape)
            file.read(1)  # at the end, the checksum is verified


def npz_members(path: Path, file: IO[bytes], names: Collection[str]) -> dict[str, NpzMember]:
    """Return the arrays of these names that an `.npz` file has.

    Args:
        path: The file, for errors.
        file: The opened file.
        names: The names of arrays.

    Raises:
        ValueError: If the file is not an archive, or one is not a numeric array.
    """
    if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
        raise ValueError("it holds a single array")
    archive = zipfile.ZipFile(file)
    infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    return {name: _member(archive, infos[name], name) for name in names if name in infos}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> NpzMember:
    with archive.open(info) as file:
        shape, _, dtype = _read_header(file)
    if not shape or dtype.hasobject:
        raise ValueError(
            "Object arrays are never unpickled" if dtype.hasobject else f"{name} is a single number"
        )
    return NpzMember(archive, info, shape, dtype)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the shape, whether the order of axes is Fortran's, and the type."""
    version = np.lib.format.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"its arrays have format {version}")
    return _READERS[version](file)


def _read(file: IO[bytes], count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise ValueError("an array ends early")
    return content
