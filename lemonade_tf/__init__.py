"""LEMONADE in Keras: one search, a Pareto front of trained networks.

`search` runs a search; `load_graph` and `load_model` open the networks it leaves; `Surgery` edits
any functional Keras CNN. Importing this package loads neither Keras nor a backend.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Surgery": "lemonade_tf.surgery",
    "load_graph": "lemonade_tf.keras_bridge",
    "load_model": "lemonade_tf.keras_bridge",
}

__all__ = ["Surgery", "__version__", "load_graph", "load_model"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for (PEP 562)."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lemonade_tf' has no attribute {name!r}")
