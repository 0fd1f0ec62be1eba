"""How large the file of a network will be, told from its graph.

    bytes = 4 * parameters + a * weight tensors + b * layers with weights + c * layers
            + d * convex sums + e

The first term is exact. The others are what HDF5 and Keras's description of the model take, fitted
by least squares to 68 files of both search spaces, from 16 to 91 layers and from 59 kB to 18 MB,
written by Keras 3.15: within 1.3 % of each, 0.2 % on average. (What is missing: HDF5 allots space
in blocks, and names differ in length.) A convex sum is two layers more in a file; e has some 600
bytes for the lineage.
"""

from __future__ import annotations

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.layers import ConvexSum

BYTES = 4  # of a float32
PER_WEIGHT = 625
PER_LAYER_WITH_WEIGHTS = 1534
PER_LAYER = 1400
PER_CONVEX_SUM = 888
PER_FILE = 11_200


def file_bytes(graph: Graph) -> int:
    """Return how many bytes the file of a network takes, within some two percent."""
    return graph.cached("file_bytes", _file_bytes)


def _file_bytes(graph: Graph) -> int:
    num_weights = [len(graph.weight_shapes(name)) for name in graph]
    num_convex_sums = sum(isinstance(node.layer, ConvexSum) for _, node in graph.items())
    return (
        BYTES * count_parameters(graph)
        + PER_WEIGHT * sum(num_weights)
        + PER_LAYER_WITH_WEIGHTS * sum(map(bool, num_weights))
        + PER_LAYER * len(graph)
        + PER_CONVEX_SUM * num_convex_sums
        + PER_FILE
    )
