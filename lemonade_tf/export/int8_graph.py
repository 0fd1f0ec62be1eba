"""Which tensors of a network LiteRT rounds to 8 bits.

Its converter makes two layers of a separable convolution, and fuses a ReLU with the layer before.
Every other layer rounds its output, unless it only moves values or picks some, as pooling does:
then the output has the scale of the input.
"""

from __future__ import annotations

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import (
    Activation,
    Conv2D,
    Cropping2D,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalMaxPooling2D,
    Input,
    Permute,
    Pooling2D,
    Reshape,
    SeparableConv2D,
    TrainingOnly,
    ZeroPadding2D,
)
from lemonade_tf.latency.features import is_folded

_KEEPS_SCALE = (
    Input,
    Flatten,
    Reshape,
    Permute,
    Cropping2D,
    ZeroPadding2D,
    Pooling2D,
    GlobalMaxPooling2D,
    Dropout,
    TrainingOnly,
)


def without_separable(graph: Graph) -> Graph:
    """Return a network with a depthwise and a 1x1 convolution in place of each separable one.

    Args:
        graph: A network with weights; it is not changed.
    """
    split = graph.copy()
    for name, node in graph.items():
        layer, weights = node.layer, dict(node.weights)
        if not isinstance(layer, SeparableConv2D):
            continue
        depthwise = DepthwiseConv2D(
            layer.kernel_size,
            layer.strides,
            layer.padding,
            layer.depth_multiplier,
            dilation_rate=layer.dilation_rate,
        )
        kernel = {"kernel": weights.pop("depthwise_kernel")}
        inner = split.add(_free(f"{name}_depthwise", split), depthwise, node.inputs, kernel)
        weights["kernel"] = weights.pop("pointwise_kernel")
        pointwise = Conv2D(layer.filters, (1, 1), use_bias=layer.use_bias)
        outer = split.add(_free(f"{name}_pointwise", split), pointwise, [inner], weights)
        split.redirect(name, outer)
        split.remove(name)
    return split


def _free(name: str, graph: Graph) -> str:
    """Return a name that no layer has yet."""
    while name in graph:
        name += "_"
    return name


def rounded_outputs(graph: Graph) -> frozenset[str]:
    """Return the names of the layers whose outputs LiteRT rounds in int8.

    Args:
        graph: A network with folded batch normalizations and without separable convolutions.
    """
    return frozenset(
        name
        for name, node in graph.items()
        if not isinstance(node.layer, _KEEPS_SCALE)
        and node.layer != Activation("softmax")
        and not _is_fused_with_next(graph, name)
    )


def _is_fused_with_next(graph: Graph, name: str) -> bool:
    readers = graph.consumers(name)
    return name not in graph.outputs and len(readers) == 1 and is_folded(graph, readers[0])
