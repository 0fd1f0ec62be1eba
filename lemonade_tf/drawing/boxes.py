"""What a picture of a graph shows: boxes, each a layer with what follows it alone, and arrows.

A convolution with its batch norm and its ReLU is one box, as in Figures 9 to 14 of the paper. So
is every layer with the batch norms, activations and dropouts behind it, as long as each has one
reader only: then nothing can branch off inside of a box.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    ConvexSum,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Layer,
    MaxPooling2D,
    Multiply,
    Normalization,
    Pooling2D,
    ReLU,
    Rescaling,
    Reshape,
    SeparableConv2D,
    Shape,
    Windowed,
    ZeroPadding2D,
)

FOLLOWERS = (Rescaling, Normalization, BatchNormalization, ReLU, Activation, Dropout)
# What puts out the shape that comes in, or says the only size of its own already.
TELLING = (*FOLLOWERS, Add, ConvexSum, Dense)


@dataclass(frozen=True)
class Box:
    """Some nodes of a graph in one box.

    Attributes:
        nodes: Their names, each the only reader of the one before.
        title: What the first of them computes, such as "conv 3x3, 64".
        detail: The others, and the shape that comes out unless the layer tells; may be empty.
        layer: The layer of the first.
    """

    nodes: tuple[str, ...]
    title: str
    detail: str
    layer: Layer


@dataclass(frozen=True)
class Diagram:
    """The boxes of a graph, each behind those it reads, and the arrows between them.

    Attributes:
        boxes: The boxes.
        arrows: (from, to) as positions in `boxes`, one for each input that a box reads.
    """

    boxes: tuple[Box, ...]
    arrows: tuple[tuple[int, int], ...]


def build_diagram(graph: Graph, *, shapes: bool = True) -> Diagram:
    """Return what a picture of a graph shows.

    Args:
        graph: The graph.
        shapes: Whether boxes tell the shape of what comes out of them.
    """
    chains: list[list[str]] = []
    holder: dict[str, int] = {}  # name of a node -> position of its box
    for name in graph.topological_order():
        if _follows(graph, name):
            holder[name] = holder[graph[name].inputs[0]]
            chains[holder[name]].append(name)
        else:
            holder[name] = len(chains)
            chains.append([name])
    arrows = [(holder[i], at) for at, chain in enumerate(chains) for i in graph[chain[0]].inputs]
    boxes = tuple(_box(graph, tuple(chain), shapes) for chain in chains)
    return Diagram(boxes, tuple(arrows))


def _follows(graph: Graph, name: str) -> bool:
    """Return whether a node is drawn in the box of the node that it reads."""
    node = graph[name]
    if not isinstance(node.layer, FOLLOWERS):
        return False
    (before,) = node.inputs
    if len(graph.consumers(before)) > 1:
        return False
    return isinstance(node.layer, Rescaling | Normalization) or not _begins(graph, before)


def _begins(graph: Graph, name: str) -> bool:
    """Return whether a node is the input, or its rescaling."""
    layer = graph[name].layer
    return isinstance(layer, Input) or (
        isinstance(layer, Rescaling | Normalization) and _begins(graph, graph[name].inputs[0])
    )


def _box(graph: Graph, nodes: tuple[str, ...], shapes: bool) -> Box:
    first = graph[nodes[0]]
    title = _title(first.layer)
    if "lambda" in first.weights:
        title += f", λ = {float(first.weights['lambda']):.2g}"
    detail = ", ".join(_title(graph[name].layer) for name in nodes[1:])
    if shapes and not isinstance(first.layer, TELLING):
        detail += f" → {_by(graph.shapes()[nodes[-1]])}"
    return Box(nodes, title, detail.strip(), first.layer)


# --- Words -------------------------------------------------------------------------------------


@singledispatch
def _title(layer: Layer) -> str:
    """Return what a layer is called in a box."""
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
    return f"conv {_by(layer.kernel_size)}, {layer.filters}{groups}{_strides(layer)}"


@_title.register
def _(layer: SeparableConv2D) -> str:
    multiplier = f" (x{layer.depth_multiplier})" if layer.depth_multiplier > 1 else ""
    return f"sep conv {_by(layer.kernel_size)}{multiplier}, {layer.filters}{_strides(layer)}"


@_title.register
def _(layer: DepthwiseConv2D) -> str:
    multiplier = f", x{layer.depth_multiplier}" if layer.depth_multiplier > 1 else ""
    return f"depthwise conv {_by(layer.kernel_size)}{multiplier}{_strides(layer)}"


@_title.register
def _(layer: Pooling2D) -> str:
    kind = "max" if isinstance(layer, MaxPooling2D) else "average"
    strides = "" if layer.strides == layer.pool_size else _strides(layer)
    return f"{kind} pool {_by(layer.pool_size)}{strides}"


@_title.register
def _(layer: GlobalAveragePooling2D) -> str:
    return "global average pool"


@_title.register
def _(layer: BatchNormalization) -> str:
    return "BN"


@_title.register
def _(layer: ReLU) -> str:
    return "ReLU" if layer.max_value is None else f"ReLU ≤ {layer.max_value:g}"


@_title.register
def _(layer: Activation) -> str:
    return "ReLU" if layer.activation == "relu" else layer.activation.replace("_", " ")


@_title.register
def _(layer: Dropout) -> str:
    return f"dropout {layer.rate:g}"


@_title.register
def _(layer: Flatten) -> str:
    return "flatten"


@_title.register
def _(layer: Dense) -> str:
    return f"dense, {layer.units}"


@_title.register
def _(layer: Add) -> str:
    return "sum"


@_title.register
def _(layer: ConvexSum) -> str:
    return "convex sum"


@_title.register
def _(layer: Multiply) -> str:
    return "product"


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
def _(layer: Reshape) -> str:
    return "reshape"


@_title.register
def _(layer: Normalization) -> str:
    return "normalization"


def _by(sizes: Shape) -> str:
    return "x".join(map(str, sizes))


def _strides(layer: Windowed) -> str:
    """Return the strides, if there are any."""
    height, width = layer.strides
    if height == width:
        return f", stride {height}" if height > 1 else ""
    return f", strides {_by(layer.strides)}"
