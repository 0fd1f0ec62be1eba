"""Files in the layout of CIFAR, made by hand as Python 2 wrote the official ones."""

import io
import struct
import tarfile

import numpy as np


def rows(num=20, seed=0):
    """Return images as rows of a file: uint8 (num, 3072)."""
    return np.random.default_rng(seed).integers(0, 256, (num, 3072), dtype=np.uint8)


def python2_pickle(content):
    """Return what cPickle of Python 2.7 and NumPy 1 wrote, protocol 2, less the memo.

    Args:
        content: Keys to text, lists of integers, or uint8 arrays.
    """
    items = b"".join(_string(key.encode()) + _python2_value(item) for key, item in content.items())
    return b"\x80\x02}(" + items + b"u."


def _python2_value(value):
    if isinstance(value, str):
        return _string(value.encode())
    if isinstance(value, list):
        return b"](" + b"".join(map(_integer, value)) + b"e"
    assert value.dtype == np.uint8
    is_fortran = value.flags.f_contiguous and not value.flags.c_contiguous
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nndarray\n" + _integer(0) + b"\x85" + _string(b"b") + b"\x87R"
        b"("
        + _integer(1)
        + b"".join(map(_integer, value.shape))
        + (b"\x86" if value.ndim == 2 else b"\x85")
        + b"cnumpy\ndtype\n"
        + _string(b"u1")
        + b"K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + (b"\x88" if is_fortran else b"\x89")
        + _string(value.tobytes("F" if is_fortran else "C"))
        + b"tb"
    )


def _string(text):
    if len(text) < 256:
        return b"U" + bytes([len(text)]) + text
    return b"T" + struct.pack("<i", len(text)) + text


def _integer(number):
    if 0 <= number < 256:
        return b"K" + bytes([number])
    if 0 <= number < 65536:
        return b"M" + struct.pack("<H", number)
    return b"J" + struct.pack("<i", number)


def cifar10_files(num=20):
    """Return the files of a small CIFAR-10, by their paths in the archive."""
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    return {
        f"cifar-10-batches-py/{name}": python2_pickle(
            {
                "batch_label": name,
                "labels": [label % 10 for label in range(num)],
                "data": rows(num, seed),
                "filenames": name,
            }
        )
        for seed, name in enumerate(names)
    }


def cifar100_files(num=220):
    """Return the files of a small CIFAR-100, by their paths in the archive."""
    return {
        f"cifar-100-python/{name}": python2_pickle(
            {
                "fine_labels": [label % 100 for label in range(num)],
                "coarse_labels": [label % 20 for label in range(num)],
                "data": np.asfortranarray(rows(num, seed)),
            }
        )
        for seed, name in enumerate(["train", "test"])
    }


def write_folder(data_dir, files):
    """Write files below a folder, and return it."""
    for name, content in files.items():
        path = data_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return data_dir


def archive(files):
    """Return the bytes of a .tar.gz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
