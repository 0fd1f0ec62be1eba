"""Read the arrays of an `.npz` file piece by piece: it may be larger than the memory.

An `.npz` file is a zip archive of `.npy` files, stored or compressed. Its checksums are verified by
reading every array to the end.

A file may come from a stranger: it could declare an array of any size. So the size of an array must
be that of its member, a stored member is as large as its part of the file, and a compressed one is
either small or not much larger than that: images hardly compress, whereas a file that is meant to
fill the memory consists of zeros, which `.npz` files hold in a thousandth of their size.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import prod
from typing import IO

import numpy as np

from lemonade_tf.errors import quoted

_BYTES = 2**23  # of the rows that are read at a time
_MAX_HEADER = 10_000  # bytes; NumPy refuses longer ones after it has read them
_MAX_RATIO, _SMALL = 200, 2**24  # of the size to the stored size; bytes that are always accepted
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
        if not self.shape:
            with self.archive.open(self.info) as file:
                _read_header(file)
                return np.frombuffer(file.read(), self.dtype).reshape(())
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


def array_names(file: IO[bytes]) -> list[str]:
    """Return the names of the arrays of an `.npz` file.

    Args:
        file: The opened file.

    Raises:
        ValueError: If the file is not an archive.
    """
    return [*_infos(_archive(file))]


def npz_members(file: IO[bytes], names: Collection[str] | None = None) -> dict[str, NpzMember]:
    """Return the arrays of these names that an `.npz` file has.

    Args:
        file: The opened file.
        names: The names of arrays; by default all.

    Raises:
        ValueError: If the file is not an archive, one is an array of objects, or larger than what
            is stored allows.
    """
    archive = _archive(file)
    infos = _infos(archive)
    found = {name: infos[name] for name in (infos if names is None else names) if name in infos}
    if sum(info.compress_size for info in found.values()) > file.seek(0, io.SEEK_END):
        raise ValueError("its arrays overlap")
    return {name: _member(archive, info, name) for name, info in found.items()}


def _archive(file: IO[bytes]) -> zipfile.ZipFile:
    file.seek(0)
    if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
        raise ValueError("it holds a single array")
    return zipfile.ZipFile(file)


def _infos(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {info.filename.removesuffix(".npy"): info for info in archive.infolist()}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> NpzMember:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed by a method that NumPy does not use")
    ratio = 1 if info.compress_type == zipfile.ZIP_STORED else _MAX_RATIO
    if info.file_size > ratio * info.compress_size and (ratio == 1 or info.file_size > _SMALL):
        raise ValueError(
            f"{name} declares {info.file_size:,} bytes, but {info.compress_size:,} are stored;"
            " store it uncompressed"
        )
    with archive.open(info) as file:
        shape, _, dtype = _read_header(file)
        start = file.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} is an array of objects, which are never unpickled; store numbers")
    size = prod(shape) * dtype.itemsize
    if start + size != info.file_size or not dtype.itemsize or any(n < 0 for n in shape):
        raise ValueError(f"{name} has shape {quoted(shape)}, but {info.file_size - start:,} bytes")
    return NpzMember(archive, info, shape, dtype)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the shape, whether the order of axes is Fortran's, and the type."""
    version = np.lib.format.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"its arrays have format {version}")
    length = _read(file, 2 if version == (1, 0) else 4)
    num_bytes = int.from_bytes(length, "little")
    if num_bytes > _MAX_HEADER:
        raise ValueError(f"an array has a header of {num_bytes:,} bytes")
    header = io.BytesIO(length + _read(file, num_bytes))
    try:
        return _READERS[version](header)
    except Exception as error:  # it is a Python literal, whose parsers may raise anything
        raise ValueError(f"an array has a damaged header: {quoted(error)}") from None


def _read(file: IO[bytes], count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise ValueError("an array ends early")
    return content
