"""Graphs of boxes for the tests of layers and positions."""

import numpy as np

from lemonade_tf.drawing.layering import arrange_layers


def random_edges(seed):
    """Return the edges of a connected graph of 30 boxes, each given once."""
    rng = np.random.default_rng(seed)
    draws = [(int(rng.integers(max(0, at - 9), at)), at) for at in range(1, 30) for _ in range(2)]
    return list(dict.fromkeys(draws))


def arrangement(num_boxes, edges):
    return arrange_layers(num_boxes, edges)[0]
