"""Blocks: a convolution, its batch normalization and its activation.

The paper's networks are built of Conv-BatchNorm-ReLU blocks. In imported networks a block may end
in another activation, and have no batch normalization. Skips connect the ends of blocks.
"""

from __future__ import annotations

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import (
    ELEMENTWISE_ACTIVATIONS,
    ELU,
    Activation,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    ConvexSum,
    Layer,
    LeakyReLU,
    PReLU,
    ReLU,
    SeparableConv2D,
)

CONVOLUTIONS = (Conv2D, SeparableConv2D, Conv2DTranspose)
SKIP_MERGES = (Concatenate, ConvexSum)


def is_activation(layer: Layer) -> bool:
    """Return whether a layer can end a block: a ReLU or another elementwise activation."""
    return isinstance(layer, ReLU | LeakyReLU | PReLU | ELU) or (
        isinstance(layer, Activation)
        and layer.activation in ELEMENTWISE_ACTIVATIONS
        and layer.activation != "linear"
    )


def ends_block_or_skip(layer: Layer) -> bool:
    """Return whether a layer ends a block or a skip, so that a skip may start there."""
    return isinstance(layer, SKIP_MERGES) or is_activation(layer)


def is_projection(layer: Layer) -> bool:
    """Return whether a layer is the 1x1 convolution of a skip.

    No block starts with one, and none becomes a separable convolution, which would have more
    parameters.
    """
    return isinstance(layer, Conv2D) and layer.kernel_size == (1, 1)


def block_at(graph: Graph, convolution: str) -> tuple[str, ...] | None:
    """Return the names of convolution, batch normalization, if it has one, and activation of a
    block.

    None if the node is no convolution that starts a block: each but the last must have the next one
    as its only consumer.
    """
    if not isinstance(graph[convolution].layer, CONVOLUTIONS):
        return None
    names = [convolution]
    while True:
        consumers = graph.consumers(names[-1])
        if names[-1] in graph.outputs or len(consumers) != 1:
            return None
        layer = graph[consumers[0]].layer
        names.append(consumers[0])
        if is_activation(layer):
            return tuple(names)
        if not isinstance(layer, BatchNormalization) or len(names) > 2:
            return None
