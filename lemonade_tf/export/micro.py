"""LiteRT Micro, the runtime of microcontrollers: how much memory a network needs there.

The package tflite-micro runs the interpreter of LiteRT Micro on this machine. Its arena holds the
activations, and what the kernels and the interpreter keep per layer. Pointers have 64 bits here and
32 on a microcontroller, so the arena there is somewhat smaller; kernels that are optimized for a
processor may need a few kilobytes more.

The interpreter runs in another process: it prints the sizes, and C++ errors end a process.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec

from lemonade_tf.errors import quoted
from lemonade_tf.export.formats import ExportError

_TOTAL = re.compile(rb"Arena allocation total (\d+) bytes")
_ARENA = 2**30  # bytes; more than any microcontroller has
_PROGRAM = f"""
import sys
import numpy as np
from tflite_micro import runtime

content = sys.stdin.buffer.read()
interpreter = runtime.Interpreter.from_bytes(content, arena_size={_ARENA})
details = interpreter.get_input_details(0)
interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
interpreter.invoke()
interpreter.print_allocations()
"""


def has_micro() -> bool:
    """Return whether the package tflite-micro is installed."""
    return find_spec("tflite_micro") is not None


def measure_arena(content: bytes) -> int:
    """Return the bytes of the arena that the content of a .tflite file needs in LiteRT Micro.

    Raises:
        ExportError: If LiteRT Micro cannot run it.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], input=content, capture_output=True, check=False
    )
    found = _TOTAL.search(done.stdout + done.stderr)
    if done.returncode or found is None:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        lines = lines or [f"its process ended with status {done.returncode}"]
        raise ExportError(f"LiteRT Micro cannot run the network: {quoted(lines[-1])}")
    return int(found[1])
