"""What a search is compared with: networks from the literature as graphs, and random search.

`mobilenets`, `nasnets` and `wide_resnets` build the networks of section 5.1 and 5.2;
`random_search` is a search without evolution, and `comparison` puts runs side by side.
"""

from lemonade_tf.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
