"""Read the pickles that image data sets are published as, and run nothing that they name.

A pickle is a program: it names functions and calls them. The files of CIFAR, written by Python 2,
name `numpy.core.multiarray._reconstruct`, `numpy.ndarray` and `numpy.dtype`; those that Python 3
writes today, `_frombuffer` and `_codecs.encode` besides. Here each of these names stands for
something of this module that makes an array of numbers from bytes, and any other name is refused.
NumPy's own functions are not lent to the file either: the state of an array or a type is no safer
than the file it comes from, and NumPy 2.4 warns of what Python 2 wrote.

References:
    https://docs.python.org/3/library/pickle.html#restricting-globals
"""

from __future__ import annotations

import copyreg
import pickle
import re
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

import numpy as np

from lemonade_tf.datasets.npz import DatasetError, one_line

_NUMBERS = re.compile("b1|[iu][1248]|f[248]")  # the types an array may have, less the byte order


def read_pickle(file: BinaryIO, where: str) -> dict[str, Any]:
    """Read a dictionary of numbers, text, lists and arrays of numbers.

    Args:
        file: The pickle, of any protocol.
        where: The name of the file, for messages.

    Returns:
        The values by their keys, which are text also where Python 2 wrote bytes. Text that
        Python 2 wrote stays bytes in the values. Arrays are read-only.

    Raises:
        DatasetError: If the file names anything else to be called, or is no such pickle.
    """
    copyreg.clear_extension_cache()  # what is in it would be taken without `find_class`
    try:
        content = _Unpickler(file, where).load()
        if not isinstance(content, dict):
            raise TypeError(f"it holds a {type(content).__name__}, no dictionary")
        return {_text(key): _value(value) for key, value in content.items()}
    except DatasetError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its instructions come to
        raise DatasetError(
            f"{where} cannot be read as a pickled dictionary of arrays ({one_line(error)}); it is "
            "damaged or something else. Fetch it again."
        ) from error


class _Unpickler(pickle.Unpickler):
    """Gives out what is in `_NAMES`, and nothing else."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        super().__init__(file, encoding="bytes")
        self._where = where

    def find_class(self, module: str, name: str) -> _Name:
        if (module, name) in _NAMES:
            return _NAMES[module, name]
        self._refuse(f"{module}.{name}")

    def persistent_load(self, pid: object) -> NoReturn:
        self._refuse("a function for persistent ids")

    def _refuse(self, what: str) -> NoReturn:
        raise DatasetError(
            f"{self._where}: refused to run {one_line(what)}, which no file of images needs. Fetch "
            "the file again, from where it was published."
        )


class _Name:
    """A function that a pickle may call but not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *args: object) -> object:
        return self._function(*args)

    def __setstate__(self, state: object) -> NoReturn:
        raise pickle.UnpicklingError("it sets the state of a function")


class _DataType:
    """The type of an array's numbers: made from its code, and given the byte order as its state."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: str | bytes, *_: object) -> None:
        self._code, self._order = _text(code), "|"
        if not _NUMBERS.fullmatch(self._code):
            raise pickle.UnpicklingError(f"it holds an array of the type {self._code}, no numbers")

    def __setstate__(self, state: tuple) -> None:
        self._order = _text(state[1])

    def dtype(self) -> np.dtype:
        return np.dtype(self._order + self._code)


class _Array:
    """An array: made empty, and given all that it is as its state."""

    __slots__ = ("values",)

    def __setstate__(self, state: tuple) -> None:
        _, shape, data_type, is_fortran, content = state
        self.values = _from_bytes(content, data_type, shape, "F" if is_fortran else "C").values


def _from_bytes(
    content: bytes | bytearray, data_type: _DataType, shape: tuple[int, ...], order: str | bytes
) -> _Array:
    array = _Array()
    values = np.frombuffer(content, data_type.dtype()).reshape(shape, order=_text(order))
    values.flags.writeable = False
    array.values = values
    return array


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: str, encoding: str | bytes) -> bytes:
    """Give bytes back that Python 3 wrote, in an old protocol, as text."""
    if _text(encoding) != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {_text(encoding)}")
    return text.encode("latin-1")


def _not_called(*_: object) -> NoReturn:
    raise pickle.UnpicklingError("it calls a class that is an argument only")


def _text(text: object) -> str:
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)


def _value(value: object) -> object:
    return value.values if isinstance(value, _Array) else value


# NumPy 2 renamed `core`; a file has the name that was in use where it was written.
_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name(_reconstruct),
    ("numpy._core.multiarray", "_reconstruct"): _Name(_reconstruct),
    ("numpy.core.numeric", "_frombuffer"): _Name(_from_bytes),
    ("numpy._core.numeric", "_frombuffer"): _Name(_from_bytes),
    ("numpy", "ndarray"): _Name(_not_called),
    ("numpy", "dtype"): _Name(_DataType),
    ("_codecs", "encode"): _Name(_encode),
}
