"""A search: the parts wired together, from the data set to the folder of trained networks.

`driver` is where it begins; `setup` brings together what a search begins with, or goes on from;
`run` is the search under way.
"""

from lemonade_tf.lazy import importing

__all__ = ["Callback", "SearchConfig", "SearchError", "SearchResult", "SearchState", "search"]

__getattr__ = importing(  # not at once: some of the modules are needed alone
    __name__,
    {
        "Callback": ".callbacks",
        "SearchState": ".callbacks",
        "SearchConfig": "lemonade_tf.config",
        "SearchError": ".run",
        "SearchResult": ".driver",
        "search": ".driver",
    },
)
