"""Pickle values for a worker, and refuse those that it cannot unpickle.

A worker never runs the user's script or notebook (see `server`), so functions and classes that are
defined there do not exist in the worker.
"""

from __future__ import annotations

import io
import pickle
from types import FunctionType
from typing import Any


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, type | FunctionType) and value.__module__ == "__main__":
            raise pickle.PicklingError(
                f"{value.__qualname__} is defined in the main script, which workers do not run; "
                "move it to a module and import it, or use an InProcessExecutor."
            )
        return NotImplemented


def dumps(value: Any) -> bytes:
    """Pickle a value for a worker.

    Raises:
        pickle.PicklingError: If the value refers to a function or class of the main script.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()
