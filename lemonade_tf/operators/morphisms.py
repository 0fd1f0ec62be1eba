"""The four types of network morphism (A.0.1), as edits of a graph; exact operators combine them.

With N for the output of a node, and primes for what is new:

    I    N  becomes  A' N + b',           A' = 1, b' = 0          (4)  `insert_linear`
         N  becomes  C' (A N + b) + d',   C' = A^-1, d' = -C' b   (5)  `insert_affine`
    II   A h + b  becomes  (A A') (h, h') + b,    A' = 0          (6)  `append_channels`,
                                                                       `append_input`
    III  N  becomes  N' N,                N' = N, idempotent      (7)  `repeat_idempotent`
    IV   N  becomes  (1 - l') N + l' h',  l' = 0                  (8)  `blend`

Each edit changes the graph in place, keeps its function, and leaves every new weight able to learn:
one factor of a new product is zero, never both, because a product of two zeros has no gradient.

The convention for lambda, here and everywhere: (1 - lambda) x + lambda y, where x is the old node
and y the new one, and lambda starts at 0, as in section 3.1. (Equation 8 multiplies the old node by
lambda, which starts at 1.)
"""

from __future__ import annotations

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import (
    ChannelChange,
    Fresh,
    change_channels,
    change_consumers,
)
from lemonade_tf.architecture.channel_runs import FRESH, Sources
from lemonade_tf.architecture.layers import Concatenate, Conv2D, ConvexSum, Layer, ReLU
from lemonade_tf.operators.exact_scales import exact_scales
from lemonade_tf.operators.initial import NORMALIZATION, output_statistics

# --- Type I --------------------------------------------------------------------------------------


def insert_linear(graph: Graph, node: str, kernel_size: int, *, use_bias: bool = False) -> str:
    """Insert a convolution after a node that starts as the identity, and return its name.

    Equation 4; "Net2DeeperNet" (Chen et al., 2015).
    """
    channels = graph.shapes()[node][-1]
    weights = {"kernel": identity_kernel(kernel_size, channels)} if graph.has_weights else {}
    if use_bias and weights:
        weights["bias"] = np.zeros(channels, np.float32)
    layer = Conv2D(channels, (kernel_size, kernel_size), use_bias=use_bias)
    return graph.insert_after(node, graph.unique_name("conv"), layer, weights)


def insert_affine(graph: Graph, node: str, *, like: str) -> str:
    """Insert a batch norm after a node that undoes its own normalization, and return its name.

    Equation 5: the statistics are A and b, scale and offset C and d. The statistics are estimated
    from the batch norms before; to keep the function in training too, they must be measured.

    Args:
        graph: The graph to edit.
        node: The node.
        like: An earlier node with the same output, whose statistics are estimated.
    """
    weights = {}
    if graph.has_weights:
        weights = identity_normalization(*output_statistics(graph, like), NORMALIZATION.epsilon)
    return graph.insert_after(node, graph.unique_name("bn"), NORMALIZATION, weights)


def identity_kernel(size: int, channels: int) -> np.ndarray:
    """Return the kernel (size, size, channels, channels) of the identity (equation 4, A = 1)."""
    kernel = np.zeros((size, size, channels, channels), np.float32)
    kernel[size // 2, size // 2] = np.eye(channels)
    return kernel


def identity_normalization(
    mean: np.ndarray, variance: np.ndarray, epsilon: float
) -> dict[str, np.ndarray]:
    """Return the weights of a batch norm that undoes its own normalization (equation 5).

    gamma is a float32 near sqrt(variance + epsilon) for which gamma / sqrt(variance + epsilon) is 1
    within some 1e-12 (1e-10 at most), with a variance that changes by less than one part in 1000
    (see `exact_scales`).

    Args:
        mean: (channels,).
        variance: (channels,), not negative.
        epsilon: The epsilon of the layer.

    Returns:
        gamma, beta, moving_mean and moving_variance, each (channels,), float32.
    """
    near = np.sqrt(variance.astype(np.float64) + epsilon).astype(np.float32)
    gamma, exact_variance = exact_scales(near, epsilon)
    mean = mean.astype(np.float32)
    return {
        "gamma": gamma,
        "beta": mean,
        "moving_mean": mean,
        "moving_variance": exact_variance,
    }


# --- Type II -------------------------------------------------------------------------------------


def append_channels(graph: Graph, sources: Sources, fresh: Fresh) -> ChannelChange:
    """Append channels to groups of channels, which their consumers ignore at first.

    Equation 6, with h the layers that produce the channels.

    Args:
        graph: The graph to edit.
        sources: For each group, the source of each channel (see `architecture.channel_edits`). The
            weights that consume a fresh channel are zero (h' arbitrary); those of a channel listed
            twice are split among its copies (h' = h, "Net2WiderNet").
        fresh: Returns the weights that produce fresh channels.
    """
    return change_channels(graph, sources, fresh)


def append_input(graph: Graph, node: str, other: str) -> tuple[str, ChannelChange]:
    """Concatenate another node to a node, and give the consumers zero weights for it.

    Equation 6, with h' = another node of the same resolution. Nodes that `other` depends on
    continue to consume `node` alone.

    Args:
        graph: The graph to edit.
        node: The node; every path from it must reach a convolution or dense layer.
        other: A node that may depend on `node`, but not the other way round.

    Returns:
        The name of the concatenation, and the change of channels after it.
    """
    shapes = graph.shapes()
    width, extra = shapes[node][-1], shapes[other][-1]
    name = graph.unique_name("skip_concat")
    merge = graph.insert_after(node, name, ReLU(), exclude={*graph.ancestors(other), other})
    # A ReLU stands in for the concatenation until its consumers expect the additional channels:
    # before that, its output would not have the number of channels that they take.
    source = np.append(np.arange(width), np.full(extra, FRESH))
    change = change_consumers(graph, merge, source, lambda _, shape: np.ones(shape, np.float32))
    graph.set_layer(merge, Concatenate(), inputs=[node, other])
    return merge, change


# --- Types III and IV ----------------------------------------------------------------------------


def repeat_idempotent(graph: Graph, node: str, layer: Layer, stem: str) -> str:
    """Insert an idempotent layer after a node that it does not change, and return its name.

    Equation 7. The layer must be the identity on the output of the node: for a ReLU, the node is
    never negative (see `deepen.non_negative`).
    """
    return graph.insert_after(node, graph.unique_name(stem), layer)


def blend(graph: Graph, node: str, other: str) -> str:
    """Replace a node by (1 - lambda) times it plus lambda times another; return the sum's name.

    Equation 8, with h any node of the same shape. Nodes that `other` depends on continue to consume
    `node`.
    """
    weights = {"lambda": np.float32(0)} if graph.has_weights else {}
    merge = graph.add(graph.unique_name("skip_sum"), ConvexSum(), [node, other], weights)
    graph.redirect(node, merge, exclude=[merge, *graph.ancestors(other), other])
    return merge
