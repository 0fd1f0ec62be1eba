"""Pickle what goes to a worker, and refuse what a worker could not find.

A worker never runs the user's script or notebook (see `server`), so a function or class that is
defined there does not exist for it.
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
                "move it to a module of its own and import it, or train in this process."
            )
        return NotImplemented


def dumps(value: Any) -> bytes:
    """Pickle a value for a worker.

    Raises:
        pickle.PicklingError: If the value needs what is defined in the main script.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()
