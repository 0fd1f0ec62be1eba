"""Graphs for tests: a trained-looking state, random children, and one graph with every layer."""

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as L
from lemonade_tf.operators import APPROXIMATE, EXACT
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.search_spaces import NETWORKS

OPERATORS = {operator.name: operator for operator in (*EXACT, *APPROXIMATE)}


def as_if_trained(graph, rng):
    """Return the graph with statistics, scales and lambdas that are nobody's default."""
    graph = graph.copy()
    for name, node in list(graph.items()):
        new = dict(node.weights)
        for key, value in node.weights.items():
            if key in ("gamma", "moving_variance"):
                new[key] = rng.uniform(0.3, 2.0, value.shape).astype(np.float32)
            elif key in ("beta", "moving_mean", "bias"):
                new[key] = rng.normal(0, 0.4, value.shape).astype(np.float32)
            elif key == "lambda":
                new[key] = np.float32(rng.uniform(-0.3, 1.2))
        if new:
            graph.set_weights(name, new)
    return graph


def initial(index=0, shape=(8, 8, 1), num_classes=10, seed=0):
    """Return an initial network of space I in a trained-looking state."""
    rng = np.random.default_rng(seed)
    graph = NETWORKS.initial_graphs(shape, num_classes, rng=rng)[index]
    return as_if_trained(graph, rng)


def small(seed=0, shape=(8, 8, 3), widths=(6, 8, 10), num_classes=4):
    """Return a small network of the shape of an initial one."""
    rng = np.random.default_rng(seed)
    graph = Graph()
    at = graph.add("input", L.Input(shape))
    at = graph.add("rescaling", L.Rescaling(1 / 127.5, -1.0), [at])
    for number, width in enumerate(widths, 1):
        kind = L.SeparableConv2D if number == 2 else L.Conv2D
        at = graph.add(f"conv_{number}", kind(width, 3), [at])
        at = graph.add(f"bn_{number}", L.BatchNormalization(), [at])
        at = graph.add(f"relu_{number}", L.ReLU(), [at])
        if number < len(widths):
            at = graph.add(f"pool_{number}", L.MaxPooling2D(2), [at])
    at = graph.add("global_pool", L.GlobalAveragePooling2D(), [at])
    at = graph.add("logits", L.Dense(num_classes), [at])
    graph.output = graph.add("softmax", L.Activation("softmax"), [at])
    return as_if_trained(initial_weights(graph, rng=rng), rng)


def every_layer(seed=0, num_classes=3):
    """Return a network in which every kind of layer occurs."""
    rng = np.random.default_rng(seed)
    graph = Graph()
    graph.add("image", L.Input((9, 8, 2)))
    graph.add("scaled", L.Rescaling((0.5, 0.25), (-1.0, 0.1)), ["image"])
    graph.add("conv", L.Conv2D(6, (3, 5), use_bias=True), ["scaled"])
    graph.add("norm", L.BatchNormalization(), ["conv"])
    graph.add("tanh", L.Activation("tanh"), ["norm"])
    graph.add("depthwise", L.DepthwiseConv2D(3, depth_multiplier=2, use_bias=True), ["tanh"])
    graph.add("relu6", L.ReLU(6.0), ["depthwise"])
    graph.add("max", L.MaxPooling2D(3, 2, padding="same"), ["relu6"])
    graph.add("average", L.AveragePooling2D(2, 2, padding="same"), ["relu6"])
    graph.add("sum", L.Add(), ["max", "average"])
    graph.add("separable", L.SeparableConv2D(12, 3, depth_multiplier=2), ["sum"])
    graph.add("relu", L.ReLU(), ["separable"])
    graph.add("mix", L.ConvexSum(), ["relu", "sum"])
    graph.add("both", L.Concatenate(), ["mix", "max"])
    graph.add("strided", L.Conv2D(5, 2, strides=2, padding="valid"), ["both"])
    graph.add("flat", L.Flatten(), ["strided"])
    graph.add("mean", L.GlobalAveragePooling2D(), ["both"])
    graph.add("all", L.Concatenate(), ["flat", "mean"])
    graph.add("dropout", L.Dropout(0.3), ["all"])
    graph.add("hidden", L.Dense(7, use_bias=False), ["dropout"])
    graph.add("logits", L.Dense(num_classes), ["hidden"])
    graph.output = graph.add("softmax", L.Activation("softmax"), ["logits"])
    return as_if_trained(initial_weights(graph, rng=rng), rng)


def random_chain(graph, operators, length, rng, retrained=True):
    """Apply `length` operators at random sites; between them, look trained again.

    Yields (operator, site, parent, change).
    """
    for _ in range(length):
        choices = [op for op in operators if op.candidates(graph)]
        if not choices:
            return
        operator = choices[int(rng.integers(len(choices)))]
        sites = operator.candidates(graph)
        site = sites[int(rng.integers(len(sites)))]
        change = operator.apply(graph, site, rng=rng)
        yield operator, site, graph, change
        graph = as_if_trained(change.graph, rng) if retrained else change.graph


def images(graph, number=4, seed=0):
    """Return random raw images that fit a graph."""
    shape = graph.shapes()[graph.input]
    return np.random.default_rng(seed).integers(0, 256, (number, *shape)).astype(np.uint8)
