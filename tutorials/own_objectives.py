"""Two objectives of your own. Both are minimized."""

import numpy as np

from lemonade_tf.architecture.layers import Conv2D, Dense, SeparableConv2D
from lemonade_tf.objectives import Objective


def depth(graph):
    """Return the number of layers with weights that an image passes one after another.

    A cheap objective: it needs the layers only, so it decides which children are trained.
    """
    depths = {}
    for name in graph.topological_order():
        node = graph[name]
        before = max((depths[source] for source in node.inputs), default=0)
        depths[name] = before + isinstance(node.layer, Conv2D | SeparableConv2D | Dense)
    return depths[graph.output]


def worst_class_error(trained):
    """Return the validation error on the class with the highest one.

    An expensive objective: it is measured on every trained network.
    """
    wrong = trained.probabilities.argmax(axis=1) != trained.labels
    return max(wrong[trained.labels == label].mean() for label in np.unique(trained.labels))


DEPTH = Objective("depth", "linear", compute=depth)
WORST = Objective("worst_class_error", "linear", measure=worst_class_error, unit="fraction")
