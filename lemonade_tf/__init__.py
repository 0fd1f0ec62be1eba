"""LEMONADE in Keras: one search, a Pareto front of trained networks.

`search` runs a search; `load_graph` and `load_model` open the networks it leaves; `Surgery` edits
any functional Keras CNN. Importing this package loads neither Keras nor a backend.
"""

from lemonade_tf.errors import LemonadeError
from lemonade_tf.lazy import importing

__version__ = "0.1.0"
__all__ = ["LemonadeError", "Surgery", "__version__", "load_graph", "load_model"]

__getattr__ = importing(
    __name__,
    {"Surgery": ".surgery", "load_graph": ".keras_bridge", "load_model": ".keras_bridge"},
)
