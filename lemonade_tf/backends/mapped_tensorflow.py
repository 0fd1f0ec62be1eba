"""Tensors in memory-mapped files, whose pages all processes of a machine share; on a CPU."""

from __future__ import annotations

import errno
import mmap

import numpy as np
import tensorflow as tf

_ALIGNMENT = 64  # bytes, as TensorFlow's kernels expect


def tensor_in_file(array: np.ndarray) -> tf.Tensor | None:
    """Return a tensor of the same memory as a memory-mapped file, without copying it.

    Returns:
        The tensor; None if the array is not a whole mapped file, or TensorFlow could not use it.

    Raises:
        MemoryError: If the system refuses to reserve memory for it.
        OSError: If the file is no longer there.
    """
    if not isinstance(array, np.memmap) or not isinstance(array.base, mmap.mmap):
        return None
    if not array.flags.c_contiguous or array.ctypes.data % _ALIGNMENT:
        return None
    # DLPack takes writable arrays only. Nothing writes to this one; if anything did, the system
    # would copy the page for this process first (copy on write).
    path, dtype = str(array.filename), array.dtype
    try:
        writable = np.memmap(path, dtype, "c", array.offset, array.shape)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        raise MemoryError(
            f"{path} cannot be mapped ({error.strerror}); set --device_memory, so that only parts"
            " of it are placed at a time."
        ) from error
    return tf.experimental.dlpack.from_dlpack(writable.view(np.ndarray).__dlpack__())
