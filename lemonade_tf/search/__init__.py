"""A search: the parts wired together, from the data set to the folder of trained networks.

`driver` is where it begins; `setup` brings together what a search begins with, or goes on from;
`run` is the search under way.
"""

from lemonade_tf.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
