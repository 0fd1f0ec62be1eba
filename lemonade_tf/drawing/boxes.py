"""The boxes and arrows of a picture: layers are grouped into boxes, connections become arrows.

A convolution with its batch norm and its ReLU is one box, as in Figures 9 to 14 of the paper. In
the same way every layer shares a box with the batch norms, activations and dropouts after it, as
long as each node has only one consumer: then no arrow starts inside a box.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import (
    ELU,
    Activation,
    Add,
    Average,
    BatchNormalization,
    ChannelSlice,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    ConvexSum,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Elementwise,
    Flatten,
    GlobalMaxPooling2D,
    GlobalPooling2D,
    GroupNormalization,
    Input,
    Layer,
    LayerNormalization,
    LayerScale,
    LeakyReLU,
    Maximum,
    MaxPooling2D,
    Minimum,
    Multiply,
    Normalization,
    Permute,
    Pooling2D,
    PReLU,
    ReLU,
    Rescaling,
    Reshape,
    Resizing,
    SeparableConv2D,
    Shape,
    Subtract,
    TrainingOnly,
    UpSampling2D,
    ZeroPadding2D,
)

FOLLOWERS = (
    Rescaling,
    Normalization,
    BatchNormalization,
    LayerNormalization,
    GroupNormalization,
    LayerScale,
    ReLU,
    LeakyReLU,
    PReLU,
    ELU,
    Activation,
    Dropout,
    TrainingOnly,
)
# Layers that keep the shape of their input, or whose title includes the only size that is new.
SHAPE_IS_OBVIOUS = (*FOLLOWERS, Add, ConvexSum, Dense)


@dataclass(frozen=True)
class Box:
    """A chain of nodes that share a box.

    Attributes:
        nodes: The names of the nodes; each is the only consumer of the previous one.
        title: The first layer in words, such as "conv 3x3, 64".
        detail: The other layers, and the output shape unless it is obvious; may be empty.
        layer: The first layer.
    """

    nodes: tuple[str, ...]
    title: str
    detail: str
    layer: Layer


@dataclass(frozen=True)
class Diagram:
    """The boxes of a graph in topological order, and the arrows between them.

    Attributes:
        boxes: The boxes.
        arrows: (source, target) as indices of boxes, one per input of a box.
    """

    boxes: tuple[Box, ...]
    arrows: tuple[tuple[int, int], ...]


def build_diagram(graph: Graph, *, shapes: bool = True) -> Diagram:
    """Group the nodes of a graph into boxes, and return these with the arrows between them.

    Args:
        graph: The graph.
        shapes: Whether boxes show their output shapes.
    """
    chains: list[list[str]] = []
    box_of: dict[str, int] = {}  # name of a node -> index of its box
    for name in graph.topological_order():
        if _shares_box(graph, name):
            box_of[name] = box_of[graph[name].inputs[0]]
            chains[box_of[name]].append(name)
        else:
            box_of[name] = len(chains)
            chains.append([name])
    arrows = [(box_of[i], at) for at, chain in enumerate(chains) for i in graph[chain[0]].inputs]
    boxes = tuple(_box(graph, tuple(chain), shapes) for chain in chains)
    return Diagram(boxes, tuple(arrows))


def _shares_box(graph: Graph, name: str) -> bool:
    """Return whether a node is drawn in the box of its input."""
    node = graph[name]
    if not isinstance(node.layer, FOLLOWERS):
        return False
    (before,) = node.inputs
    if len(graph.consumers(before)) > 1:
        return False
    return isinstance(node.layer, Rescaling | Normalization) or not _is_preprocessing(graph, before)


def _is_preprocessing(graph: Graph, name: str) -> bool:
    """Return whether a node is the input of the network or rescales it."""
    layer = graph[name].layer
    return isinstance(layer, Input) or (
        isinstance(layer, Rescaling | Normalization)
        and _is_preprocessing(graph, graph[name].inputs[0])
    )


def _box(graph: Graph, nodes: tuple[str, ...], shapes: bool) -> Box:
    first = graph[nodes[0]]
    title = _title(first.layer)
    if "lambda" in first.weights:
        title += f", λ = {float(first.weights['lambda']):.2g}"
    detail = ", ".join(_title(graph[name].layer) for name in nodes[1:])
    if shapes and not isinstance(first.layer, SHAPE_IS_OBVIOUS):
        detail += f" → {_by(graph.shapes()[nodes[-1]])}"
    return Box(nodes, title, detail.strip(), first.layer)


# --- Text --------------------------------------------------------------------------------------


@singledispatch
def _title(layer: Layer) -> str:
    """Return a layer in words, as the title of a box."""
    raise NotImplementedError(f"{type(layer).__name__} has no title.")


@_title.register
def _(layer: Input) -> str:
    return "input"


@_title.register
def _(layer: Rescaling) -> str:
    return "rescaling"


@_title.register
def _(layer: Conv2D) -> str:
    groups = f", {layer.groups} groups" if layer.groups > 1 else ""
    dilation = f", dilation {_by(layer.dilation_rate)}" if layer.dilation_rate != (1, 1) else ""
    more = f"{groups}{dilation}{_strides(layer.strides)}"
    return f"conv {_by(layer.kernel_size)}, {layer.filters}{more}"


@_title.register
def _(layer: Conv2DTranspose) -> str:
    strides = _strides(layer.strides)
    return f"transposed conv {_by(layer.kernel_size)}, {layer.filters}{strides}"


@_title.register
def _(layer: SeparableConv2D) -> str:
    multiplier = f" (x{layer.depth_multiplier})" if layer.depth_multiplier > 1 else ""
    return (
        f"sep conv {_by(layer.kernel_size)}{multiplier}, {layer.filters}{_strides(layer.strides)}"
    )


@_title.register
def _(layer: DepthwiseConv2D) -> str:
    multiplier = f", x{layer.depth_multiplier}" if layer.depth_multiplier > 1 else ""
    return f"depthwise conv {_by(layer.kernel_size)}{multiplier}{_strides(layer.strides)}"


@_title.register
def _(layer: Pooling2D) -> str:
    kind = "max" if isinstance(layer, MaxPooling2D) else "average"
    is_default = layer.strides == layer.pool_size
    strides = "" if is_default else _strides(layer.strides)
    return f"{kind} pool {_by(layer.pool_size)}{strides}"


@_title.register
def _(layer: GlobalPooling2D) -> str:
    kind = "max" if isinstance(layer, GlobalMaxPooling2D) else "average"
    return f"global {kind} pool"


@_title.register
def _(layer: BatchNormalization) -> str:
    return "BN"


@_title.register
def _(layer: LayerNormalization) -> str:
    return "LN"


@_title.register
def _(layer: GroupNormalization) -> str:
    return f"GN, {layer.groups} groups" if layer.groups > 0 else "instance norm"


@_title.register
def _(layer: LayerScale) -> str:
    return "layer scale"


@_title.register
def _(layer: ReLU) -> str:
    kind = "leaky ReLU" if layer.negative_slope else "ReLU"
    return kind if layer.max_value is None else f"{kind} ≤ {layer.max_value:g}"


@_title.register
def _(layer: LeakyReLU) -> str:
    return "leaky ReLU"


@_title.register
def _(layer: PReLU) -> str:
    return "PReLU"


@_title.register
def _(layer: ELU) -> str:
    return "ELU"


@_title.register
def _(layer: Activation) -> str:
    return "ReLU" if layer.activation == "relu" else layer.activation.replace("_", " ")


@_title.register
def _(layer: Dropout) -> str:
    return f"dropout {layer.rate:g}"


@_title.register
def _(layer: TrainingOnly) -> str:
    return layer.layer


@_title.register
def _(layer: Flatten) -> str:
    return "flatten"


@_title.register
def _(layer: Permute) -> str:
    return f"permute {_by(layer.dims)}"


@_title.register
def _(layer: ChannelSlice) -> str:
    return f"channels {layer.start} to {layer.stop - 1}"


@_title.register
def _(layer: Dense) -> str:
    return f"dense, {layer.units}"


_MERGES = {
    Add: "sum",
    Subtract: "difference",
    Multiply: "product",
    Average: "average",
    Maximum: "maximum",
    Minimum: "minimum",
}


@_title.register
def _(layer: Elementwise) -> str:
    return _MERGES[type(layer)]


@_title.register
def _(layer: ConvexSum) -> str:
    return "convex sum"


@_title.register
def _(layer: Concatenate) -> str:
    return "concat"


@_title.register
def _(layer: ZeroPadding2D) -> str:
    return "zero padding"


@_title.register
def _(layer: Cropping2D) -> str:
    return "cropping"


@_title.register
def _(layer: UpSampling2D) -> str:
    return f"upsampling {_by(layer.size)}"


@_title.register
def _(layer: Resizing) -> str:
    return f"resizing to {layer.height}x{layer.width}"


@_title.register
def _(layer: Reshape) -> str:
    return "reshape"


@_title.register
def _(layer: Normalization) -> str:
    return "normalization"


def _by(sizes: Shape) -> str:
    return "x".join(map(str, sizes))


def _strides(strides: tuple[int, int]) -> str:
    """Return the strides as a part of a title; empty for a stride of 1."""
    height, width = strides
    if height == width:
        return f", stride {height}" if height > 1 else ""
    return f", strides {_by(strides)}"
