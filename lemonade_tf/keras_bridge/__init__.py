"""Between graphs and Keras: models, weights, files.

`load_graph` and `load_record` read a saved file with h5py alone; code that needs Keras is imported
on first use.
"""

from lemonade_tf.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
