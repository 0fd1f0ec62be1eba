"""A search, from the data set to the folder of trained networks: connects the other packages.

Start reading at `driver`. `start` and `resume` set up a run; `session` runs `algorithm` in it, with
an `evaluator` that trains and records networks and a `reporter` of the progress.
"""

from lemonade_tf.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
