"""Read values from an HDF5 file that may come from a stranger.

HDF5 can refer to other files: by external links, external storage and virtual datasets. A file of
some kilobytes can declare gigabytes, which are never stored, or stored compressed. And some lengths
in a file are trusted by the HDF5 library: it copies a text of variable length to memory before it
compares the two lengths that the file gives. So only hard links and values that are stored as they
are in the file itself are read here, of a shape that is known before; and texts without HDF5.
"""

from __future__ import annotations

from math import prod
from os import PathLike
from typing import IO, Any

import h5py
import numpy as np
from h5py import h5d, h5l  # pyright: ignore[reportAttributeAccessIssue] (without stubs)

from lemonade_tf.errors import LemonadeError

_MAX_TEXT = 2**22  # bytes; the architecture of a thousand nodes has 2**18
_MAX_NUMBER = 8  # bytes
_REFERENCE, _COLLECTION, _OBJECT = 16, 16, 16  # bytes: a reference to a text; two headers


class PlainError(LemonadeError, ValueError):
    """A part of an HDF5 file is missing, or is not stored as plain values in the file."""


def member(group: Any, name: str) -> Any:
    """Return the member of a group to which a hard link leads.

    Raises:
        PlainError: If there is none.
    """
    # These questions about the link itself do not follow it, unlike `name in group`.
    if not isinstance(group, h5py.Group) or not group.id.links.exists(name.encode()):
        raise PlainError(f"{group.name} has no {name!r}.")
    if group.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
        raise PlainError(
            f"{group.name}/{name} is a link to another place; expected the values themselves."
        )
    return group[name]


def read_text(dataset: Any, path: str | PathLike[str]) -> str:
    """Read a single text of variable length.

    HDF5 stores a reference: the length, and the position of a collection of objects and an index in
    it ("Disk Format: Level 1E, Global Heap" of the HDF5 file format).

    Args:
        dataset: The dataset.
        path: The file that contains it.

    Raises:
        PlainError: If it is anything else.
    """
    place, kind = _checked(dataset).id.get_offset(), h5py.check_string_dtype(dataset.dtype)
    if dataset.shape != () or kind is None or kind.length is not None or place is None:
        raise PlainError(f"{dataset.name} is not a single text.")
    with open(path, "rb") as file:
        reference = _read(file, place, _REFERENCE)
        length, index = _number(reference[:4]), _number(reference[12:])
        if length > _MAX_TEXT:
            raise PlainError(
                f"{dataset.name} is a text of {length:,} bytes; expected at most {_MAX_TEXT:,}."
            )
        return _heap_object(file, _number(reference[4:12]), index, length).decode()


def _heap_object(file: IO[bytes], position: int, index: int, length: int) -> bytes:
    """Return an object of a collection: a header, then objects with a header each."""
    header = _read(file, position, _COLLECTION)
    end = position + _number(header[8:])
    if header[:5] != b"GCOL\x01":
        raise PlainError("it has no text where it should be.")
    position += _COLLECTION
    while position + _OBJECT <= end:
        header = _read(file, position, _OBJECT)
        size = _number(header[8:])
        if _number(header[:2]) == index:
            if size != length:
                raise PlainError(f"it has a text of {size:,} bytes; expected {length:,}.")
            return _read(file, position + _OBJECT, length)
        position += _OBJECT + -(-size // 8) * 8
        if not _number(header[:2]):  # the free space at the end
            break
    raise PlainError("it lacks a text.")


def _read(file: IO[bytes], position: int, count: int) -> bytes:
    if position < 2**63:
        file.seek(position)
        content = file.read(count)
        if len(content) == count:
            return content
    raise PlainError("it ends early.")


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little")


class Budget:
    """Reads numbers, in total not more than a file has bytes for.

    Datasets of a malicious file could be stored in the same place, and so take more memory than the
    file.

    Args:
        num_bytes: The size of the file.
    """

    def __init__(self, num_bytes: int) -> None:
        self._left = num_bytes

    def read(self, dataset: Any, shape: tuple[int, ...]) -> np.ndarray:
        """Read numbers as a read-only array of float32.

        Raises:
            PlainError: If they have another shape, or are not stored in the file as they are.
        """
        if not isinstance(dataset, h5py.Dataset) or dataset.shape != shape:
            found = getattr(dataset, "shape", None)
            raise PlainError(f"{dataset.name} has shape {found}; expected {shape}.")
        kind = dataset.dtype
        if kind.kind not in "iuf" or not 2 <= kind.itemsize <= _MAX_NUMBER:
            raise PlainError(f"{dataset.name} has dtype {kind}; expected numbers, such as float32.")
        stored = _checked(dataset).id.get_storage_size()
        needed = prod(shape) * kind.itemsize
        self._left -= needed
        if stored < needed or self._left < 0:
            raise PlainError(
                f"{dataset.name} declares {needed:,} bytes, more than are stored in the file."
            )
        array = np.array(dataset[()], np.float32)  # Normalization also has an integer
        array.flags.writeable = False
        return array


def _checked(dataset: Any) -> Any:
    """Return a dataset, if its values are stored in its file as they are.

    Raises:
        PlainError: If they are not.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise PlainError(f"{dataset.name} is a group; expected values.")
    properties = dataset.id.get_create_plist()
    layout = properties.get_layout()
    if layout == h5d.VIRTUAL or properties.get_external_count():
        raise PlainError(
            f"{dataset.name} is stored in another file; expected the values themselves."
        )
    if properties.get_nfilters():
        raise PlainError(
            f"{dataset.name} is compressed, which Keras never does; unpack it, for example with"
            " h5repack -f NONE."
        )
    if layout == h5d.CHUNKED and prod(properties.get_chunk()) > max(1, dataset.size or 0):
        raise PlainError(f"{dataset.name} has chunks that are larger than its values.")
    return dataset
