"""Networks as graphs: layers, checks, cost, text. Python and NumPy only."""

from lemonade_tf.architecture.checks import check
from lemonade_tf.architecture.graph import Graph, GraphError, Node
from lemonade_tf.architecture.layers import LAYERS, Layer, ShapeError

__all__ = ["LAYERS", "Graph", "GraphError", "Layer", "Node", "ShapeError", "check"]
