"""Pickles of numeric arrays are read; everything else that a pickle may run is refused."""

import copyreg
import io
import os
import pickle
import pickletools
import struct

import numpy as np
import pytest
from cifar_files import python2_pickle, rows

from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.pickles import read_pickle


def _read(content):
    return read_pickle(io.BytesIO(content), "a_batch")


ORDERS = {"C": np.ascontiguousarray, "F": np.asfortranarray}


@pytest.mark.parametrize("order", ORDERS)
def test_reads_what_python_2_wrote(order):
    data = ORDERS[order](rows(3))
    content = _read(python2_pickle({"data": data, "labels": [3, 300, -1], "batch_label": "one"}))
    np.testing.assert_array_equal(content["data"], data)
    assert content["data"].dtype == np.uint8
    assert content["labels"] == [3, 300, -1]
    assert content["batch_label"] == b"one"


def test_python2_pickle_has_the_instructions_of_python_2():
    content = python2_pickle({"labels": [1, 2, 300], "data": rows(1)})
    written = [instruction.name for instruction, _, _ in pickletools.genops(content)]
    assert written == [name for name in PYTHON_2_INSTRUCTIONS.split() if "PUT" not in name]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("key", ["data", b"data"])
def test_reads_what_python_3_wrote(protocol, order, key):
    data = ORDERS[order](rows(3))
    content = _read(pickle.dumps({key: data, "labels": [1, 2, 3]}, protocol=protocol))
    np.testing.assert_array_equal(content["data"], data)
    assert content["labels"] == [1, 2, 3]


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("dtype", ["?", "u1", "<i8", ">i4", "<f2", ">f8"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_numeric_arrays_are_read_only(protocol, dtype, shape):
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    read = _read(pickle.dumps({"mean": values}, protocol=protocol))["mean"]
    np.testing.assert_array_equal(read, values)
    assert read.dtype == values.dtype
    assert not read.flags.writeable


class _Call:
    """Pickled as the call of a function."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def _stack_global(module, name, argument):
    """Return the instructions of a call, the function named by two strings on the stack."""
    strings = [b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name, argument)]
    return strings[0] + strings[1] + b"\x93" + strings[2] + b"\x85R"


COMMAND = "touch ran"
# Instructions that create a file, "ran" in the current directory, if they are run.
MALICIOUS = {
    "os.system": (pickle.dumps(_Call(os.system, COMMAND)), r"refused to run (posix|nt)\.system"),
    "eval": (
        pickle.dumps({"data": _Call(eval, "open('ran', 'w').close()")}),
        r"refused to run builtins\.eval",
    ),
    "eval of Python 2": (
        b"c__builtin__\neval\nU\x18open('ran', 'w').close()\x85R.",
        r"refused to run __builtin__\.eval",
    ),
    "in a list": (
        pickle.dumps({"labels": [1, [2, (_Call(os.system, COMMAND),)]]}, protocol=2),
        r"refused to run (posix|nt)\.system",
    ),
    "as a key": (
        pickle.dumps({_Call(os.system, COMMAND): 1}),
        r"refused to run (posix|nt)\.system",
    ),
    "names on the stack": (
        b"\x80\x04" + _stack_global("os", "system", COMMAND) + b".",
        r"refused to run os\.system",
    ),
    "a dotted name": (
        b"\x80\x04" + _stack_global("numpy", "os.system", COMMAND) + b".",
        r"refused to run numpy\.os\.system",
    ),
    "INST": (b"(S'touch ran'\nios\nsystem\n.", r"refused to run os\.system"),
    "OBJ": (b"(cos\nsystem\nS'touch ran'\no.", r"refused to run os\.system"),
    "NEWOBJ": (
        b"\x80\x02csubprocess\nPopen\n](X\x05\x00\x00\x00touchX\x03\x00\x00\x00rane\x85\x81.",
        r"refused to run subprocess\.Popen",
    ),
    "persistent id": (b"Pran\n.", r"refused to run a function for persistent ids"),
    "binary persistent id": (b"U\x03ranQ.", r"refused to run a function for persistent ids"),
    "another function of numpy": (b"cnumpy\nload\nU\x03ran\x85R.", r"refused to run numpy\.load"),
    "another codec": (
        b"c_codecs\nencode\nX\x03\x00\x00\x00ranX\x03\x00\x00\x00hex\x86R.",
        r"it encodes text as hex",
    ),
    "name of two lines": (
        b"\x80\x04" + _stack_global("os\nand", "system", COMMAND) + b".",
        r"refused to run os and\.system",
    ),
    "function for a function": (
        # _reconstruct, with a state that would give it another function.
        b"cnumpy.core.multiarray\n_reconstruct\nN}U\x09_functionc_codecs\nencode\ns\x86b.",
        r"it sets the state of a function",
    ),
    "an argument only": (b"cnumpy\nndarray\n)R.", r"calls a class that may only be an argument"),
    "objects": (pickle.dumps(np.array([None])), r"refused|of dtype O8"),
}


@pytest.mark.parametrize("case", MALICIOUS)
def test_other_functions_are_refused_and_not_run(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    content, message = MALICIOUS[case]
    with pytest.raises(DatasetError, match=message) as raised:
        _read(content)
    assert list(tmp_path.iterdir()) == []
    assert str(raised.value).startswith("a_batch")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("case", ["os.system", "eval of Python 2", "names on the stack", "INST"])
def test_the_malicious_files_run_with_a_plain_unpickler(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    pickle.loads(MALICIOUS[case][0])
    assert [path.name for path in tmp_path.iterdir()] == ["ran"]


CODES = {1: b"\x82", 2: b"\x83", 4: b"\x84"}


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(("size", "code"), [(1, 240), (2, 60_000), (4, 70_000)])
def test_registered_extensions_are_refused(tmp_path, monkeypatch, cached, size, code):
    monkeypatch.chdir(tmp_path)
    call = CODES[size] + struct.pack("<i", code)[:size]
    copyreg.add_extension("os", "system", code)
    try:
        if cached:
            pickle.loads(call + b".")
        with pytest.raises(DatasetError, match=r"refused to run os\.system"):
            _read(call + b"X\x09\x00\x00\x00touch ran\x85R.")
    finally:
        copyreg.remove_extension("os", "system", code)
    assert list(tmp_path.iterdir()) == []


def _array(**changes):
    """Return a pickle of one array with some of its instructions replaced."""
    content = python2_pickle({"data": rows(1)})
    for old, new in changes.values():
        assert content.count(old) == 1
        content = content.replace(old, new)
    return content


WRONG = {
    "nothing": (b"", r"\(EOFError\)"),
    "text": (b"hello, this is no pickle", "is not a readable pickled dictionary"),
    "list": (pickle.dumps([1]), "it contains a list"),
    "truncated": (_array()[:-2000], "is not a readable"),
    "no end": (_array()[:-1], r"\(EOFError\)"),
    "unknown instruction": (b"\x80\x02\xff.", "invalid opcode 255"),
    "unknown protocol": (b"\x80\x63}.", "unsupported pickle protocol: 99"),
    "empty stack": (b"0.", "pop|stack"),
    "unknown memo": (b"h\x07.", "Memo value not found"),
    "unhashable key": (b"}]K\x01s.", "it contains a list as a key"),
    "set": (pickle.dumps({"data": {1}}, 4), "invalid opcode 143"),
    # Of some bytes, which take gigabytes or years with a plain unpickler.
    "large number of an object": (b"]r\xff\xff\xff\x3f.", "it contains a list"),
    "long bytearray": (b"\x80\x05\x96" + b"\xff" * 5 + b"\x00" * 3 + b".", "it ends early"),
    "long text": (b"\x80\x04\x8d" + b"\xff" * 5 + b"\x00" * 3 + b".", "is not a readable"),
    "tuples as a key": (b"})" + b"2\x86" * 60 + b"Ns.", "it contains a tuple as a key"),
    "tuples as keys": (b"}()" + b"2\x86" * 60 + b"Nu.", "it contains a tuple as a key"),
    "tuples as a new key": (b"()" + b"2\x86" * 60 + b"Nd.", "it contains a tuple as a key"),
    "deep tuple as a key": (b"})" + b"\x85" * 200_000 + b"Ns.", "it contains a tuple as a key"),
    "tuples as a type": (
        b"}U\x01dcnumpy\ndtype\n)" + b"2\x86" * 60 + b"\x85Rs.",
        "a tuple where a text should be",
    ),
    "complex": (pickle.dumps({"data": np.zeros(2, complex)}), "array of dtype c16"),
    "dates": (pickle.dumps({"data": np.zeros(2, "M8[s]")}), "array of dtype M8"),
    "text array": (pickle.dumps({"data": np.array(["a"])}), "array of dtype U1"),
    "records": (pickle.dumps({"data": np.zeros(2, [("a", "u1")])}), "array of dtype V1"),
    "list of objects": (pickle.dumps({"data": np.array([{}])}), "array of dtype O8"),
    "too long": (_array(shape=(b"K\x01M\x00\x0c", b"K\x01K\x07")), "cannot reshape"),
    "too short": (_array(shape=(b"K\x01M\x00\x0c", b"K\x7fK\x7f")), "cannot reshape"),
    "of text": (
        _array(data=(b"T\x00\x0c\x00\x00", b"K\x00T\x00\x0c\x00\x00")),
        "is not a readable",
    ),
    "no such type": (_array(code=(b"U\x02u1", b"U\x02u3")), "array of dtype u3"),
    "no such order": (_array(order=(b"U\x01|", b"U\x01,")), "is not a readable"),
    "without state": (b"}U\x01dcnumpy.core.multiarray\n_reconstruct\n)Rs.", "is not a readable"),
    "a huge string": (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.", "is not a readable"),
}


@pytest.mark.parametrize("case", WRONG)
def test_malformed_pickles_are_refused(case):
    content, message = WRONG[case]
    with pytest.raises(DatasetError, match=message) as raised:
        _read(content)
    assert str(raised.value).startswith("a_batch is not a readable pickled dictionary of arrays (")
    assert "\n" not in str(raised.value)


def test_a_file_that_does_not_fit_into_memory_is_not_called_damaged():
    class Large(io.BytesIO):
        def read(self, *_):
            raise MemoryError

    with pytest.raises(DatasetError, match=r"^a_batch does not fit into memory\. Free some"):
        read_pickle(Large(), "a_batch")


# What `pickletools` lists for the same array written by Python 2.7.18 and NumPy 1.16.6.
PYTHON_2_INSTRUCTIONS = """
    PROTO EMPTY_DICT BINPUT MARK SHORT_BINSTRING BINPUT EMPTY_LIST BINPUT MARK BININT1 BININT1
    BININT2 APPENDS SHORT_BINSTRING BINPUT GLOBAL BINPUT GLOBAL BINPUT BININT1 TUPLE1
    SHORT_BINSTRING TUPLE3 REDUCE BINPUT MARK BININT1 BININT1 BININT2 TUPLE2 GLOBAL BINPUT
    SHORT_BINSTRING BININT1 BININT1 TUPLE3 REDUCE BINPUT MARK BININT1 SHORT_BINSTRING NONE NONE
    NONE BININT BININT BININT1 TUPLE BUILD NEWFALSE BINSTRING TUPLE BUILD SETITEMS STOP
"""
