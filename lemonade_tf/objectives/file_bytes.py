"""Predict the size of the file of a network from its graph.

    bytes = 4 * parameters + a * weight tensors + b * layers with weights + c * layers
            + d * convex sums + e

The first term is exact. The others, the overhead of HDF5 and of Keras's configuration of the model,
were fitted by least squares to 68 files of both search spaces, from 16 to 91 layers and from 59 kB
to 18 MB, written by Keras 3.15: each is within 1.3 %, and 0.2 % on average. (The rest is because
HDF5 allocates space in blocks, and names differ in length.) A file has two additional layers per
convex sum; e includes some 600 bytes for the lineage.
"""

from __future__ import annotations

from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import ConvexSum

BYTES_PER_PARAMETER = 4  # float32
BYTES_PER_WEIGHT = 625
BYTES_PER_LAYER_WITH_WEIGHTS = 1534
BYTES_PER_LAYER = 1400
BYTES_PER_CONVEX_SUM = 888
BYTES_PER_FILE = 11_200


def file_bytes(graph: Graph) -> int:
    """Predict the bytes of the file of a network, to within two percent."""
    return graph.cached("file_bytes", _file_bytes)


def _file_bytes(graph: Graph) -> int:
    num_weights = [len(graph.weight_shapes(name)) for name in graph]
    num_convex_sums = sum(isinstance(node.layer, ConvexSum) for _, node in graph.items())
    return (
        BYTES_PER_PARAMETER * count_parameters(graph)
        + BYTES_PER_WEIGHT * sum(num_weights)
        + BYTES_PER_LAYER_WITH_WEIGHTS * sum(map(bool, num_weights))
        + BYTES_PER_LAYER * len(graph)
        + BYTES_PER_CONVEX_SUM * num_convex_sums
        + BYTES_PER_FILE
    )
