"""Graphs for tests: a trained-looking state, random children, and one graph with every layer."""

import dataclasses
import itertools

import numpy as np

from lemonade_tf.architecture import Graph, Node
from lemonade_tf.architecture import layers as L
from lemonade_tf.operators import APPROXIMATE, EXACT
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.search_spaces import NETWORKS, CellSpace

OPERATORS = {operator.name: operator for operator in (*EXACT, *APPROXIMATE)}


def as_if_trained(graph, rng):
    """Return the graph with statistics, scales and lambdas that differ from the defaults."""
    graph = graph.copy()
    for name, node in list(graph.items()):
        new = dict(node.weights)
        for key, value in node.weights.items():
            if key in ("gamma", "moving_variance", "variance", "alpha"):
                new[key] = rng.uniform(0.3, 2.0, value.shape).astype(np.float32)
            elif key in ("beta", "moving_mean", "bias", "mean"):
                new[key] = rng.normal(0, 0.4, value.shape).astype(np.float32)
            elif key == "lambda":
                new[key] = np.float32(rng.uniform(0, 1))
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
    """Return a network of most kinds of layers; `decoding` has the others."""
    rng = np.random.default_rng(seed)
    graph = Graph()
    graph.add("image", L.Input((9, 8, 2)))
    graph.add("scaled", L.Rescaling((0.5, 0.25), (-1.0, 0.1)), ["image"])
    graph.add("normal", L.Normalization(), ["scaled"])
    graph.add("conv", L.Conv2D(6, (3, 5), use_bias=True), ["normal"])
    graph.add("norm", L.BatchNormalization(), ["conv"])
    graph.add("tanh", L.Activation("tanh"), ["norm"])
    graph.add("depthwise", L.DepthwiseConv2D(3, depth_multiplier=2, use_bias=True), ["tanh"])
    graph.add("relu6", L.ReLU(6.0), ["depthwise"])
    graph.add("padded", L.ZeroPadding2D(((1, 0), (0, 2))), ["relu6"])
    graph.add("cropped", L.Cropping2D(((0, 1), (2, 0))), ["padded"])
    graph.add("max", L.MaxPooling2D(3, 2, padding="same"), ["cropped"])
    graph.add("squeezed", L.GlobalAveragePooling2D(keepdims=True), ["relu6"])
    graph.add("gate", L.Activation("hard_sigmoid"), ["squeezed"])
    graph.add("gated", L.Multiply(), ["relu6", "gate"])
    graph.add("average", L.AveragePooling2D(2, 2, padding="same"), ["gated"])
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
    graph.add("row", L.Reshape((num_classes,)), ["logits"])
    graph.output = graph.add("softmax", L.Activation("softmax"), ["row"])
    return as_if_trained(initial_weights(graph, rng=rng), rng)


def decoder(graph, at, channels, *, stock=True):
    """Add layers as in segmentation models and ConvNeXt after a node, and return the last.

    Args:
        graph: The graph to extend.
        at: A node that outputs images.
        channels: The number of its channels, even.
        stock: Whether to leave out what Keras has no layer for.
    """
    first = second = at
    if not stock:
        half = channels // 2
        first = graph.add("decoder_first_half", L.ChannelSlice(0, half), [at])
        second = graph.add("decoder_second_half", L.ChannelSlice(half, channels), [at])
        channels = half
    first = stack(graph, first, L.LeakyReLU(0.1), L.LayerScale(0.5, channels), stem="decoder_up")
    first = graph.add("decoder_up", L.Conv2DTranspose(4, 3, strides=2, use_bias=True), [first])
    first = graph.add("decoder_instance_norm", L.GroupNormalization(4), [first])
    first = graph.add("decoder_up_relu", L.PReLU((1, 2)), [first])
    second = stack(graph, second, L.Conv2D(4, 3, dilation_rate=2), L.ELU(0.5), stem="decoder_wide")
    second = graph.add("decoder_doubled", L.UpSampling2D(2, "bilinear"), [second])
    difference = graph.add("decoder_difference", L.Subtract(), [first, second])
    noisy = graph.add(
        "decoder_noisy", L.TrainingOnly("SpatialDropout2D", '{"rate": 0.1}'), [difference]
    )
    parts = [noisy, first, second]
    merged = [
        graph.add(f"decoder_{kind.__name__}", kind(), parts)
        for kind in (L.Average, L.Maximum, L.Minimum)
    ]
    at = graph.add("decoder_merged", L.Concatenate(), merged)
    at = stack(graph, at, L.Permute((2, 1, 3)), L.Conv2D(6, 1), stem="decoder_end")
    at = at if stock else graph.add("decoder_resized", L.Resizing(4, 5), [at])
    at = stack(graph, at, L.LayerNormalization(), L.GroupNormalization(2), stem="decoder_end")
    return graph.add("decoder_end_max", L.GlobalMaxPooling2D(), [at])


def decoding(seed=0, *, stock=True):
    """Return a network of the kinds of layers that `every_layer` lacks."""
    graph = Graph()
    at = graph.add("image", L.Input((5, 4, 2)))
    at = stack(graph, at, L.Rescaling(0.01), L.Conv2D(8, 3), L.ReLU(), stem="stem")
    at = graph.add("logits", L.Dense(3), [decoder(graph, at, 8, stock=stock)])
    graph.output = graph.add("softmax", L.Activation("softmax"), [at])
    return new_weights(graph, seed)


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


def all_sites(site_type, nodes):
    """Yield sites at every node, or pair of nodes, with valid and invalid other values."""
    values = {
        "node": nodes,
        "source": nodes,
        "target": nodes,
        "kernel_size": (1, 3, 5, 7),
        "factor": (4 / 3, 1.01, 2),
        "fraction": ("1/2", "1/4", "1/100"),
        "multiple": (1,),
        "normalize": (True,),
        "kind": ("concatenate", "convex_sum", "sum"),
    }
    for choice in itertools.product(*(values[f.name] for f in dataclasses.fields(site_type))):
        yield site_type(*choice)


def images(graph, number=4, seed=0):
    """Return random raw images that fit a graph."""
    shape = graph.shapes()[graph.input]
    return np.random.default_rng(seed).integers(0, 256, (number, *shape)).astype(np.uint8)


def new_weights(graph, seed=0):
    """Return the graph, made of shapes, with new weights in a trained-looking state."""
    rng = np.random.default_rng(seed)
    return as_if_trained(initial_weights(graph, rng=rng), rng)


def stack(graph, at, *layers, stem):
    """Add layers one after the other, named stem_kind, and return the name of the last."""
    for layer in layers:
        at = graph.add(f"{stem}_{type(layer).__name__.lower()}", layer, [at])
    return at


def convolutions(*widths, shape=(6, 6, 2)):
    """Return a graph with convolutions a, b, c, ... of these widths next to each other."""
    graph = Graph()
    graph.add("image", L.Input(shape))
    for name, width in zip("abcdef", widths, strict=False):
        graph.add(name, L.Conv2D(width, 3), ["image"])
    return graph


def finished(graph, at, *, num_classes=3):
    """Add global pooling, a dense layer and a softmax after a node; make them the output."""
    head = (L.GlobalAveragePooling2D(), L.Dense(num_classes), L.Activation("softmax"))
    graph.output = stack(graph, at, *head, stem="head")
    return graph


def tied(seed=0):
    """Return a network of residual sums, a depthwise multiplier of 2, and sums of concatenations.

    Its ReLUs are named by what they end.
    """
    graph = Graph()

    def conv(name, at, filters, kernel=3, kind=L.Conv2D):
        at = graph.add(f"{name}_conv", kind(filters, kernel), [at])
        at = graph.add(f"{name}_bn", L.BatchNormalization(), [at])
        return graph.add(name, L.ReLU(), [at])

    at = graph.add("image", L.Input((7, 6, 3)))
    trunk = conv("trunk", graph.add("scaled", L.Rescaling(0.01), [at]), 8)
    left, right = conv("left", trunk, 3), conv("right", trunk, 5, kind=L.SeparableConv2D)
    both = graph.add("both", L.Concatenate(), [left, right])
    residual = graph.add("residual", L.Add(), [trunk, both])
    deep = conv("deep", residual, 8, kernel=1)
    total = graph.add("total", L.Add(), [residual, deep])
    at = graph.add("depthwise", L.DepthwiseConv2D(3, strides=2, depth_multiplier=2), [total])
    at = graph.add("depthwise_bn", L.BatchNormalization(scale=False), [at])
    at = graph.add("depthwise_relu", L.ReLU(6.0), [at])
    at = conv("small", at, 4)
    at = graph.add("flat", L.Flatten(), [at])
    at = graph.add("hidden", L.Dense(9), [at])
    at = graph.add("hidden_relu", L.Activation("relu"), [at])
    at = graph.add("logits", L.Dense(3), [at])
    graph.output = graph.add("softmax", L.Activation("softmax"), [at])
    return new_weights(graph, seed)


def gated(seed=0):
    """Return a residual network with squeeze-and-excitation, a grouped convolution and gates.

    As in networks of keras.applications: the hard sigmoid in parts, padding and then 'valid', a
    1x1 convolution for the logits, whole branches dropped; and a gate for each place of the image.
    """
    graph = Graph()
    at = graph.add("image", L.Input((8, 6, 3)))
    at = graph.add("normal", L.Normalization((100.0, 90.0, 80.0), (900.0, 800.0, 700.0)), [at])

    def normed(at, name, layer, *activation):
        return stack(graph, at, layer, L.BatchNormalization(), *activation, stem=name)

    trunk = normed(at, "trunk", L.Conv2D(6, 3, strides=2), L.Activation("silu"))
    at = normed(trunk, "expand", L.Conv2D(12, 1, padding="valid"), L.ReLU(6.0))
    at = normed(at, "grouped", L.Conv2D(9, 3, groups=3), L.ReLU())
    at = graph.add("pad", L.ZeroPadding2D(1), [at])
    main = normed(at, "depthwise", L.DepthwiseConv2D(3, padding="valid"), L.Activation("hard_silu"))
    squeeze = (L.GlobalAveragePooling2D(), L.Reshape((1, 1, 9)), L.Conv2D(4, 1, use_bias=True))
    excite = (L.ReLU(), L.Conv2D(9, 1, padding="valid", use_bias=True), L.Rescaling(1.0, 3.0))
    at = stack(graph, stack(graph, main, *squeeze, stem="se"), *excite, stem="excite")
    gate = stack(graph, at, L.ReLU(6.0), L.Rescaling(1 / 6), stem="sigmoid")
    at = graph.add("excited", L.Multiply(), [main, gate])
    at = normed(at, "project", L.Conv2D(6, 1), L.Dropout(0.2, (None, 1, 1, 1)))
    at = graph.add("sum", L.Add(), [trunk, at])
    where = stack(graph, at, L.Conv2D(1, 3, use_bias=True), L.Activation("sigmoid"), stem="where")
    at = graph.add("placed", L.Multiply(), [where, at])
    at = normed(at, "last", L.Conv2D(8, 3), L.ReLU())
    at = graph.add("crop", L.Cropping2D(((1, 0), (0, 1))), [at])
    at = stack(graph, at, L.GlobalAveragePooling2D(True), L.Conv2D(3, 1, use_bias=True), stem="top")
    graph.output = stack(graph, at, L.Reshape((-1,)), L.Activation("softmax"), stem="out")
    return new_weights(graph, seed)


def grown(seed=0, length=6):
    """Return a small network after some exact operators: with blocks and skips of every kind."""
    rng = np.random.default_rng(seed)
    graph = small(seed, widths=(4, 6, 8))
    skip = OPERATORS["add_skip"]
    for kind in ("concatenate", "convex_sum"):
        site = next(s for s in skip.candidates(graph) if s.kind == kind and s.target == "relu_3")
        graph = as_if_trained(skip.apply(graph, site, rng=rng).graph, rng)
    for *_, change in random_chain(graph, EXACT, length - 2, rng):
        graph = as_if_trained(change.graph, rng)
    return graph


SMALL_CELLS = CellSpace(filters=(16, 32))


def cells(seed=0, length=5, shape=(8, 8, 1), num_classes=4):
    """Return a network of cells after some exact operators."""
    rng = np.random.default_rng(seed)
    graph = SMALL_CELLS.initial_graphs(shape, num_classes, rng=rng)[seed % 4]
    graph = as_if_trained(graph, rng)
    for *_, change in random_chain(graph, SMALL_CELLS.exact, length, rng):
        graph = as_if_trained(change.graph, rng)
    return graph


GRAPHS = {
    "initial, convolutions": lambda: initial(0, (8, 8, 3)),
    "initial, separable": lambda: initial(1),
    "small": small,
    "every layer": every_layer,
    "decoding": decoding,
    "tied": tied,
    "gated": gated,
    "grown": grown,
    "grown otherwise": lambda: grown(1),
}


def fresh(graph):
    """Return the same graph with an empty cache."""
    return Graph.from_nodes(dict(graph.items()), graph.output)


def renamed(graph, rng):
    """Return the same architecture: other names, another order, the inputs of sums shuffled."""
    names = list(graph)
    new = {old: f"n{number}" for number, old in enumerate(rng.permutation(names))}
    nodes = {}
    for old in rng.permutation(names):
        node = graph[str(old)]
        inputs = [new[i] for i in node.inputs]
        if isinstance(node.layer, L.Add):
            inputs = [str(i) for i in rng.permutation(inputs)]
        nodes[new[old]] = Node(node.layer, tuple(inputs), node.weights)
    return Graph.from_nodes(nodes, new[graph.output])


def see_saw():
    """A network whose lambda falls if images are of class 0, and rises if they are of class 1.

    Its logits are (v, -v) for v = (1 - lambda) x + lambda (-x) and the brightness x of an image.
    """
    graph = Graph()
    x = graph.add("input", L.Input((1, 1, 1)))
    minus = graph.add("minus", L.Rescaling(-1.0), [x])
    both = graph.add("both", L.ConvexSum(), [x, minus])
    flat = graph.add("flat", L.Flatten(), [both])
    logits = graph.add("logits", L.Dense(2), [flat])
    graph.output = graph.add("softmax", L.Activation("softmax"), [logits])
    graph.set_weights("both", {"lambda": np.float32(0)})
    graph.set_weights("logits", {"kernel": np.float32([[1, -1]]), "bias": np.zeros(2, np.float32)})
    return graph
