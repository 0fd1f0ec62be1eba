"""The final training of a run's front, from scratch (A.4.4)."""

from importlib import import_module
from typing import Any

_HOMES = {
    "RetrainConfig": "config",
    "RetrainError": "folder",
    "Retrained": "conduct",
    "retrain": "conduct",
}

__all__ = ["RetrainConfig", "RetrainError", "Retrained", "retrain"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for (PEP 562): the command begins with little."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
