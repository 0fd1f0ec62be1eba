"""The paper's search spaces: whole networks (I)."""

from lemonade_tf.search_spaces.networks import NETWORKS, NetworkSpace

__all__ = ["NETWORKS", "NetworkSpace"]
