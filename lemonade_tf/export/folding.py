"""Fold batch normalization into the layer before it, for inference.

At inference a batch normalization is a scale a and an offset b per channel,

    a = gamma / sqrt(moving variance + epsilon),    b = beta - a * moving mean,

and so are the kernel W and the bias c of a convolution or dense layer in its output:

    a * (W x + c) + b = (a W) x + (a c + b).

It is folded only where nothing else reads the output of that layer, and where the layer is called
once, so that the function of the network stays the same, apart from rounding. (A scale before a
convolution is not folded: padding with zeros is not scaled.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lemonade_tf.architecture.graph import Graph, Node
from lemonade_tf.architecture.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    SeparableConv2D,
)

_FOLDABLE = (Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D, SeparableConv2D)


def fold_batch_normalization(graph: Graph) -> Graph:
    """Return the network with each batch normalization folded where that keeps its function.

    Args:
        graph: A network with weights; it is not changed.
    """
    folded = graph.copy()
    repeated = {name for names in graph.calls().values() for name in names}
    for name in graph.topological_order():
        node = folded[name]
        if not isinstance(node.layer, BatchNormalization) or name in repeated:
            continue
        [before] = node.inputs
        is_alone = folded.consumers(before) == (name,) and before not in folded.outputs
        if is_alone and before not in repeated and isinstance(folded[before].layer, _FOLDABLE):
            layer, weights = _folded(folded[before], node)
            folded.set_layer(before, layer, weights)
            folded.redirect(name, before)
            folded.remove(name)
    return folded


def _folded(before: Node, normalization: Node) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the layer and the weights of a layer after folding, computed in float64."""
    layer: Any = before.layer
    given = {name: np.asarray(w, np.float64) for name, w in normalization.weights.items()}
    epsilon = normalization.layer.epsilon  # pyright: ignore[reportAttributeAccessIssue]
    scale = given.get("gamma", 1.0) / np.sqrt(given["moving_variance"] + epsilon)
    offset = given.get("beta", 0.0) - scale * given["moving_mean"]
    weights = {name: np.asarray(w, np.float64) for name, w in before.weights.items()}
    kernel = "pointwise_kernel" if isinstance(layer, SeparableConv2D) else "kernel"
    if isinstance(layer, DepthwiseConv2D):  # output channel i * multiplier + k
        factors = scale.reshape(weights[kernel].shape[-2:])
    elif isinstance(layer, Conv2DTranspose):  # (height, width, out, in)
        factors = scale[:, None]
    else:
        factors = scale
    weights[kernel] = weights[kernel] * factors
    weights["bias"] = scale * weights.get("bias", 0.0) + offset
    return replace(layer, use_bias=True), {
        name: w.astype(np.float32) for name, w in weights.items()
    }
