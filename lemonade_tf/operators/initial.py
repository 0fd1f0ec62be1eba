"""Initial values of new weights, and estimates of batch statistics, without any data."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi, prod, sqrt

import numpy as np
from scipy.special import ndtr

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import (
    Activation,
    BatchNormalization,
    Concatenate,
    GlobalAveragePooling2D,
    LayerScale,
    Pooling2D,
    ReLU,
    Shape,
)

# Every batch norm that this package adds. The paper gives no momentum. With Keras's default, 0.99,
# the initial statistics (0, 1) fade only after some 500 steps, more than a short training on little
# data has: networks with a training loss of 0.006 got half of the validation images wrong.
NORMALIZATION = BatchNormalization(momentum=0.9)


def glorot_uniform(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Draw a kernel as Keras does by default: uniform in +-sqrt(6 / (fan in + fan out)).

    Args:
        shape: (..., in, out); (..., in, multiplier) for a depthwise kernel, treated alike in Keras.
        rng: Draws the values.

    Returns:
        The kernel, float32.
    """
    window = prod(shape[:-2])
    limit = sqrt(6 / (window * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


_CONSTANTS = {
    "bias": 0.0,
    "gamma": 1.0,
    "beta": 0.0,
    "moving_mean": 0.0,
    "moving_variance": 1.0,
    "lambda": 0.0,
    "mean": 0.0,
    "variance": 1.0,
    "count": 0.0,
    "alpha": 0.0,
}


def initial_weights(graph: Graph, *, rng: np.random.Generator) -> Graph:
    """Return the graph with new weights, initialized as Keras does by default."""
    weighted = graph.copy()
    for name in graph.topological_order():
        shapes, layer = graph.weight_shapes(name), graph[name].layer
        constants = dict(_CONSTANTS)
        if isinstance(layer, LayerScale):
            constants["gamma"] = layer.init_values
        weighted.set_weights(
            name,
            {
                key: np.full(shape, constants[key], np.float32)
                if key in constants
                else glorot_uniform(shape, rng)
                for key, shape in shapes.items()
            },
        )
    return weighted


def inherited_weights(
    graph: Graph,
    donor: Graph,
    *,
    rng: np.random.Generator,
    origins: Mapping[str, str] | None = None,
) -> Graph:
    """Return the graph with the weights of a donor where their shapes agree, else new ones.

    A node inherits all of its weights or none.

    Args:
        graph: The graph; its own weights are not used.
        donor: The graph to inherit from.
        rng: Draws new weights.
        origins: The node of the donor that a node inherits from, for nodes that have another name
            there.
    """
    weighted = initial_weights(graph, rng=rng)
    for name in graph.topological_order():
        shapes = dict(graph.weight_shapes(name))
        origin = (origins or {}).get(name, name)
        weights = donor[origin].weights if origin in donor else {}
        if weights and {key: value.shape for key, value in weights.items()} == shapes:
            weighted.set_weights(name, weights)
    return weighted


def output_statistics(graph: Graph, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Estimate mean and variance of each channel of a node's output.

    The output of a batch normalization has mean beta and variance gamma^2. If its values are
    normally distributed, those after a ReLU have a rectified normal distribution: with
    a = beta / |gamma|, and phi and Phi the density and the distribution function of the standard
    normal distribution,

        mean = beta Phi(a) + |gamma| phi(a)
        variance = (beta^2 + gamma^2) Phi(a) + beta |gamma| phi(a) - mean^2

    Pooling is assumed to keep both. Without such a layer before the node, the result is (0, 1). The
    estimate is for graphs whose batch statistics are not measured; training measures them.

    Returns:
        mean and variance, each (channels,), float32.
    """
    node = graph[name]
    layer, channels = node.layer, graph.shapes()[name][-1]
    if isinstance(layer, BatchNormalization) and node.weights:
        beta = node.weights.get("beta", np.zeros(channels, np.float32))
        gamma = node.weights.get("gamma", np.ones(channels, np.float32))
        return beta, gamma**2
    if (isinstance(layer, ReLU) and layer.negative_slope == 0) or layer == Activation("relu"):
        return _rectified(*output_statistics(graph, node.inputs[0]))
    if isinstance(layer, Pooling2D | GlobalAveragePooling2D):
        return output_statistics(graph, node.inputs[0])
    if isinstance(layer, Concatenate):
        parts = [output_statistics(graph, i) for i in node.inputs]
        mean, variance = zip(*parts, strict=True)
        return np.concatenate(mean), np.concatenate(variance)
    return np.zeros(channels, np.float32), np.ones(channels, np.float32)


def _rectified(mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    deviation = np.sqrt(np.maximum(variance, 1e-12))  # gamma may be 0
    ratio = np.asarray(mean / deviation, np.float64)
    below, density = ndtr(ratio), np.exp(-(ratio**2) / 2) / sqrt(2 * pi)
    new_mean = mean * below + deviation * density
    # Variance is the second moment less the squared mean, at least 0 in spite of rounding.
    second = (mean**2 + variance) * below + mean * deviation * density
    variance = np.maximum(second - new_mean**2, 0)
    return new_mean.astype(np.float32), variance.astype(np.float32)
