"""Read the pickles in which image data sets are published, without executing code from them.

A pickle is a program: it names functions and calls them. The files of CIFAR, written by Python 2,
name `numpy.core.multiarray._reconstruct`, `numpy.ndarray` and `numpy.dtype`; Python 3 adds
`_frombuffer` and `_codecs.encode`. Here each of these names resolves to a small replacement from
this module that builds a numeric array from bytes, and every other name is refused. NumPy's own
functions are not exposed: they accept a state (`__setstate__`) that they do not validate, and
NumPy 2.4 warns about what Python 2 wrote.

A pickle of a few bytes can also take all memory, or never end: it numbers an object by a large
number, for which Python's unpickler in C allocates a table; it declares a text that is longer than
the file; or it contains a tuple with the same tuple twice in it, many levels deep, as a key, whose
hash takes twice the time with each level. So pickles are read by Python's unpickler in Python,
which keeps numbered objects in a dictionary, and keys are texts and numbers.

References:
    https://docs.python.org/3/library/pickle.html#restricting-globals
"""

from __future__ import annotations

import copyreg
import io
import pickle
import re
from collections.abc import Callable
from typing import IO, Any, ClassVar, Literal, NoReturn, cast

import numpy as np

from lemonade_tf.datasets.dataset_error import DatasetError, one_line

_DTYPES = re.compile("b1|[iu][1248]|f[248]")  # without byte order


def read_pickle(file: IO[bytes], where: str) -> dict[str, Any]:
    """Read a dictionary of numbers, text, lists and numeric arrays.

    Args:
        file: The pickle, of any protocol.
        where: Its name in errors.

    Returns:
        The values by key. Keys are text, even if Python 2 wrote bytes; text values that Python 2
        wrote stay bytes. Arrays are read-only.

    Raises:
        DatasetError: If the file names any other function, is not such a pickle, or does not fit
            into memory.
    """
    copyreg.clear_extension_cache()  # `find_class` is not called for cached extensions
    try:
        content = _Unpickler(io.BytesIO(file.read()), where).load()
        if not isinstance(content, dict):
            raise TypeError(f"it contains a {type(content).__name__}")
        return {_text(key): _value(value) for key, value in content.items()}
    except DatasetError:
        raise
    except MemoryError as error:
        raise DatasetError(
            f"{where} does not fit into memory. Free some, and rerun the command."
        ) from error
    except Exception as error:  # a damaged pickle may raise anything
        raise DatasetError(
            f"{where} is not a readable pickled dictionary of arrays ({one_line(error)}). Download"
            " it again."
        ) from error


_Python: Any = pickle._Unpickler  # its attributes are not declared


class _Opcodes(dict[int, Any]):
    """What each opcode does, as a function of the unpickler."""

    def __missing__(self, opcode: int) -> NoReturn:
        raise pickle.UnpicklingError(f"invalid opcode {opcode}")


class _Unpickler(_Python):
    """Resolves the names in `_GLOBALS` only; keys are texts and numbers; there are no sets."""

    dispatch: ClassVar[dict[int, Any]] = _Opcodes(_Python.dispatch)

    def __init__(self, file: IO[bytes], where: str) -> None:
        super().__init__(file, encoding="bytes")
        self._where = where

    def find_class(self, module_name: str, global_name: str, /) -> _Function:
        if (module_name, global_name) in _GLOBALS:
            return _GLOBALS[module_name, global_name]
        self._refuse(f"{module_name}.{global_name}")

    def persistent_load(self, pid: object) -> NoReturn:
        self._refuse("a function for persistent ids")

    def _refuse(self, name: str) -> NoReturn:
        raise DatasetError(
            f"{self._where}: refused to run {one_line(name)}; expected a file that only builds"
            " arrays. Download it again from its publisher."
        )


def _with_checked_keys(opcode: bytes) -> Callable[[_Unpickler], None]:
    """Return what an opcode does that puts the last objects as keys and values in a dictionary."""
    load = _Python.dispatch[opcode[0]]

    def load_checked(unpickler: _Unpickler) -> None:
        keys = unpickler.stack[-2:-1] if opcode == pickle.SETITEM else unpickler.stack[::2]
        for key in keys:
            if type(key) not in (str, bytes, int):
                raise pickle.UnpicklingError(f"it contains a {type(key).__name__} as a key")
        load(unpickler)

    return load_checked


def _load_bytearray(unpickler: _Unpickler) -> None:
    """Read a bytearray; Python would allocate the declared size before reading."""
    size = int.from_bytes(unpickler.read(8), "little")
    content = unpickler.read(size)
    if len(content) < size:
        raise pickle.UnpicklingError("it ends early")
    unpickler.append(bytearray(content))


for _opcode in (pickle.SETITEM, pickle.SETITEMS, pickle.DICT):
    _Unpickler.dispatch[_opcode[0]] = _with_checked_keys(_opcode)
for _opcode in (pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET):
    del _Unpickler.dispatch[_opcode[0]]
_Unpickler.dispatch[pickle.BYTEARRAY8[0]] = _load_bytearray


class _Function:
    """A function that a pickle may call but not modify."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *args: object) -> object:
        return self._function(*args)

    def __setstate__(self, state: object) -> NoReturn:
        raise pickle.UnpicklingError("it sets the state of a function")


class _DataType:
    """Stands in for numpy.dtype: created from a type code; its state sets the byte order."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: str | bytes, *_: object) -> None:
        self._code, self._order = _text(code), "|"
        if not _DTYPES.fullmatch(self._code):
            raise pickle.UnpicklingError(f"it contains an array of dtype {self._code}")

    def __setstate__(self, state: tuple) -> None:
        self._order = _text(state[1])

    def dtype(self) -> np.dtype:
        return np.dtype(self._order + self._code)


class _Array:
    """Stands in for numpy.ndarray: created empty; its state sets shape, type and content."""

    __slots__ = ("values",)

    def __setstate__(self, state: tuple) -> None:
        _, shape, data_type, is_fortran, content = state
        self.values = _from_bytes(content, data_type, shape, "F" if is_fortran else "C").values


def _from_bytes(
    content: bytes | bytearray, data_type: _DataType, shape: tuple[int, ...], order: str | bytes
) -> _Array:
    array = _Array()
    values = np.frombuffer(content, data_type.dtype())
    # A damaged file may name an order that NumPy does not know; reshape then raises.
    values = values.reshape(shape, order=cast(Literal["C", "F"], _text(order)))
    values.flags.writeable = False
    array.values = values
    return array


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: str, encoding: str | bytes) -> bytes:
    """Return bytes that Python 3 wrote as Latin-1 text, as it does in protocol 2."""
    if _text(encoding) != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {_text(encoding)}")
    return text.encode("latin-1")


def _refuse_call(*_: object) -> NoReturn:
    raise pickle.UnpicklingError("it calls a class that may only be an argument")


def _text(text: object) -> str:
    if not isinstance(text, str | bytes | int):
        raise pickle.UnpicklingError(f"it contains a {type(text).__name__} where a text should be")
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)


def _value(value: object) -> object:
    return value.values if isinstance(value, _Array) else value


# NumPy 2 renamed `core` to `_core`; files contain the name of the NumPy that wrote them.
_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _Function(_reconstruct),
    ("numpy._core.multiarray", "_reconstruct"): _Function(_reconstruct),
    ("numpy.core.numeric", "_frombuffer"): _Function(_from_bytes),
    ("numpy._core.numeric", "_frombuffer"): _Function(_from_bytes),
    ("numpy", "ndarray"): _Function(_refuse_call),
    ("numpy", "dtype"): _Function(_DataType),
    ("_codecs", "encode"): _Function(_encode),
}
