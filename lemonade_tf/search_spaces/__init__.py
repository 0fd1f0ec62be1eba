"""The paper's search spaces: whole networks (I) and cells (II)."""

from lemonade_tf.search_spaces.cells import CELLS, CellSpace
from lemonade_tf.search_spaces.model_augmentation import augment
from lemonade_tf.search_spaces.networks import NETWORKS, NetworkSpace
from lemonade_tf.search_spaces.shake_shake import shake_shake
from lemonade_tf.search_spaces.space import SearchSpace

__all__ = [
    "CELLS",
    "NETWORKS",
    "CellSpace",
    "NetworkSpace",
    "SearchSpace",
    "augment",
    "shake_shake",
]
