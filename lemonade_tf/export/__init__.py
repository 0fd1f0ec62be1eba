"""Export networks of a run to the formats of other runtimes, each checked by running it.

Importing this package loads neither Keras nor a runtime.
"""

from lemonade_tf.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
