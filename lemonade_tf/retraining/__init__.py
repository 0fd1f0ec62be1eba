"""The final training of networks of a run, from scratch (A.4.4), and model augmentation (A.4.3)."""

from lemonade_tf.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
