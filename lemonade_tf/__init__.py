"""LEMONADE in Keras: one search, a Pareto front of trained networks.

`search` runs a search; `load_graph` and `load_model` open the networks that it saves; `Surgery`
edits any functional Keras CNN. Importing this package loads neither Keras nor a backend.
"""

from lemonade_tf.lazy import lazy_exports

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
