"""A search: the parts wired together, from the data set to the folder of trained networks.

`conduct` is where it begins; `setup` brings together what a search begins with, or goes on from;
`run` is the search under way.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Callback": "callbacks",
    "SearchState": "callbacks",
    "SearchConfig": "lemonade_tf.config",
    "SearchError": "run",
    "SearchResult": "conduct",
    "search": "conduct",
}

__all__ = ["Callback", "SearchConfig", "SearchError", "SearchResult", "SearchState", "search"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for (PEP 562): some modules are needed alone."""
    if name in _HOMES:
        home = _HOMES[name]
        return getattr(import_module(home if "." in home else f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
