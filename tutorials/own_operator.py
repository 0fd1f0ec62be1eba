"""An operator of your own: insert a depthwise convolution. Run this file to test it."""

from dataclasses import dataclass

import numpy as np

from lemonade_tf.architecture.layers import DepthwiseConv2D, ReLU
from lemonade_tf.operators import Change, Operator


@dataclass(frozen=True)
class DepthwiseSite:
    """Where the operator applies: plain values, which the run records.

    Attributes:
        node: A ReLU, after which the convolution goes.
    """

    node: str


class InsertDepthwise(Operator):
    """Insert a depthwise 3x3 convolution that starts as the identity, and a ReLU.

    Values after a ReLU are not negative, so the identity and a second ReLU change nothing: the
    operator is exact, and the child starts with its parent's error.
    """

    name = "insert_depthwise"
    exact = True
    site = DepthwiseSite

    def _sites(self, graph):
        return (DepthwiseSite(name) for name, node in graph.items() if isinstance(node.layer, ReLU))

    def _refusal(self, graph, site):
        shape = graph.shapes()[site.node]
        if len(shape) == 3 and min(shape[:2]) > 1:
            return None
        return f"{site.node!r} outputs shape {shape}; expected images of at least 2x2 pixels"

    def _apply(self, graph, site, rng):
        channels = graph.shapes()[site.node][-1]
        weights = {}
        if graph.has_weights:  # a search first tries operators on graphs without weights
            kernel = np.zeros((3, 3, channels, 1), "float32")
            kernel[1, 1] = 1.0
            weights = {"kernel": kernel, "bias": np.zeros(channels, "float32")}
        layer = DepthwiseConv2D(3, use_bias=True)
        convolution = graph.insert_after(site.node, graph.unique_name("depthwise"), layer, weights)
        relu = graph.insert_after(convolution, graph.unique_name("relu"), ReLU())
        return Change(graph, affected=(convolution, relu))


INSERT_DEPTHWISE = InsertDepthwise()


def test_that_it_is_exact():
    """Compare a network of the search space with its children, at every site."""
    from lemonade_tf.keras_bridge import to_keras
    from lemonade_tf.search_spaces import NETWORKS

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (16, 8, 8, 1)).astype("float32")
    parent = NETWORKS.initial_graphs((8, 8, 1), num_classes=10)[0]
    expected = to_keras(parent)(images)
    for site in INSERT_DEPTHWISE.candidates(parent):
        child = INSERT_DEPTHWISE.apply(parent, site, rng=rng).graph
        difference = np.abs(to_keras(child)(images) - expected).max()
        print(f"{site}: largest difference {difference:.1e}")
        assert difference < 1e-6


if __name__ == "__main__":
    test_that_it_is_exact()
