"""The final training of the networks of a run's front, from scratch (A.4.4)."""

from lemonade_tf.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
