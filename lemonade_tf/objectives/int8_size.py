"""Predict from the graph what an int8 network takes on a microcontroller: flash and arena.

`int8_bytes` is the size of the int8 .tflite file:

    bytes = kernel values + 26.7 * output channels of kernels + 323 * operations

A kernel value takes one byte; a channel takes a bias of 32 bits, and a scale and a zero point each
for the kernel and the bias. `int8_arena` is the memory of LiteRT Micro at inference:

    bytes = activations + 7.9 * output channels of kernels + 190 * operations + 520

The first term is computed as LiteRT Micro does: operations run in the order of the file, tensors
are placed one by one, the largest first, each at the lowest free address while it is live
(`_planned_bytes`). A channel takes a factor and a shift for its output.

The operations are those of LiteRT after it folded batch normalizations and ReLUs, and merged equal
ones. The constants were fitted by least squares to 46 networks of both search spaces, on images of
8x8x1 to 64x64x3. `benchmarks/int8_size.py` measures how exact they are on others, with the package
tflite-micro; docs/measured.md has its results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from math import prod

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import (
    BatchNormalization,
    Concatenate,
    Conv2D,
    ConvexSum,
    DepthwiseConv2D,
    Dropout,
    Input,
    Layer,
    Rescaling,
    SeparableConv2D,
    Shape,
    TrainingOnly,
)
from lemonade_tf.latency.features import is_folded

BYTES_PER_CHANNEL, BYTES_PER_OPERATION = 26.7, 323
ARENA_PER_CHANNEL, ARENA_PER_OPERATION, ARENA_PER_NETWORK = 7.9, 190, 520
_ALIGNMENT = 16  # bytes
_CONVOLUTIONS = (Conv2D, DepthwiseConv2D, SeparableConv2D)


@dataclass(frozen=True)
class _Operation:
    """An operation of LiteRT that computes a tensor of so many bytes from others, by name."""

    output: str
    num_bytes: int
    inputs: tuple[str, ...]


def int8_bytes(graph: Graph) -> float:
    """Predict the bytes of the int8 .tflite file of a network."""
    return graph.cached("int8_bytes", _int8_bytes)


def int8_arena(graph: Graph) -> float:
    """Predict the bytes of the arena of a network in int8, in LiteRT Micro."""
    return graph.cached("int8_arena", _int8_arena)


def _int8_bytes(graph: Graph) -> float:
    values, channels = _kernels(graph)
    num_operations = len(_operations(graph))
    return values + BYTES_PER_CHANNEL * channels + BYTES_PER_OPERATION * num_operations


def _int8_arena(graph: Graph) -> float:
    operations = _operations(graph)
    _, channels = _kernels(graph)
    return (
        _planned_bytes(operations)
        + ARENA_PER_CHANNEL * channels
        + ARENA_PER_OPERATION * len(operations)
        + ARENA_PER_NETWORK
    )


def _kernels(graph: Graph) -> tuple[int, int]:
    """Return the number of values of all kernels, and of their output channels."""
    values = channels = 0
    for name, node in graph.items():
        if is_folded(graph, name):
            continue
        for weight, shape in graph.weight_shapes(name).items():
            if weight == "depthwise_kernel":
                values, channels = values + prod(shape), channels + prod(shape[-2:])
            elif weight.endswith("kernel"):
                values, channels = values + prod(shape), channels + graph.shapes()[name][-1]
            elif isinstance(node.layer, BatchNormalization):
                values += shape[0] // 2  # of four weights, two factors per channel remain
    return values, channels


# --- The operations of LiteRT -------------------------------------------------------------------


def _operations(graph: Graph) -> list[_Operation]:
    """Return the operations of a network in the order in which they run."""
    return graph.cached("int8_operations", _list_operations)


def _list_operations(graph: Graph) -> list[_Operation]:
    shapes, tensor, found, known = graph.shapes(), {}, [], {}
    for name in _order(graph):
        layer, inputs = graph[name].layer, graph[name].inputs
        given = tuple(tensor[source] for source in inputs)
        if isinstance(layer, ConvexSum):
            given = tuple(_factor(graph, source, tensor) for source in inputs)
        if inputs and (is_folded(graph, name) or isinstance(layer, Dropout | TrainingOnly)):
            tensor[name] = given[0]
            continue
        if given and not graph.weight_shapes(name):  # LiteRT computes the same tensor only once
            tensor[name] = known.setdefault((layer, given), name)
            if tensor[name] != name:
                continue
        tensor[name] = name
        found += _expand(layer, name, shapes[name], given, *[shapes[source] for source in inputs])
    last = tensor[graph.output]
    return [*found, _Operation(f"{last}/uint8", prod(shapes[graph.output]), (last,))]


def _factor(graph: Graph, name: str, tensor: Mapping[str, str]) -> str:
    """Return a term of a convex sum: with "*" unless its factor is folded into a convolution."""
    is_folded_in = isinstance(graph[name].layer, _CONVOLUTIONS) and len(graph.consumers(name)) == 1
    return tensor[name] if is_folded_in else f"{tensor[name]}*"


def _order(graph: Graph) -> list[str]:
    """Return the nodes in the order in which Keras runs layers: the farthest from the output first.

    A skip connection therefore computes its pooling and convolution late, just before it merges.
    """
    depth: dict[str, int] = {}
    order = graph.topological_order()
    for name in reversed(order):
        steps = 2 if isinstance(graph[name].layer, ConvexSum) else 1  # rescaling, then sum
        depth.setdefault(name, 0)
        for source in graph[name].inputs:
            depth[source] = max(depth.get(source, 0), depth[name] + steps)
    inputs = [name for name in order if isinstance(graph[name].layer, Input)]
    others = [name for name in order if name not in inputs]
    return inputs + sorted(others, key=lambda name: -depth[name])  # stable


@singledispatch
def _expand(
    layer: Layer, name: str, output: Shape, given: Sequence[str], *inputs: Shape
) -> Iterator[_Operation]:
    yield _Operation(name, prod(output), tuple(given))


@_expand.register
def _(
    layer: Input, name: str, output: Shape, given: Sequence[str], *inputs: Shape
) -> Iterator[_Operation]:
    yield _Operation(f"{name}/uint8", prod(output), ())
    yield _Operation(name, prod(output), (f"{name}/uint8",))


@_expand.register(Rescaling)
@_expand.register(BatchNormalization)
def _(
    layer: Layer, name: str, output: Shape, given: Sequence[str], *inputs: Shape
) -> Iterator[_Operation]:
    yield _Operation(f"{name}/scaled", prod(output), tuple(given))
    yield _Operation(name, prod(output), (f"{name}/scaled",))


@_expand.register
def _(
    layer: SeparableConv2D, name: str, output: Shape, given: Sequence[str], *inputs: Shape
) -> Iterator[_Operation]:
    channels = inputs[0][-1] * layer.depth_multiplier
    yield _Operation(f"{name}/depthwise", prod(output[:-1]) * channels, tuple(given))
    yield _Operation(name, prod(output), (f"{name}/depthwise",))


@_expand.register
def _(
    layer: ConvexSum, name: str, output: Shape, given: Sequence[str], *inputs: Shape
) -> Iterator[_Operation]:
    terms = [
        f"{name}/{number}" if source[-1] == "*" else source for number, source in enumerate(given)
    ]
    for term, source in zip(terms, given, strict=True):
        if term != source:
            yield _Operation(term, prod(output), (source[:-1],))
    yield _Operation(name, prod(output), tuple(terms))


@_expand.register
def _(
    layer: Concatenate, name: str, output: Shape, given: Sequence[str], *inputs: Shape
) -> Iterator[_Operation]:
    """All inputs need the scale of the output: all but one are converted to it."""
    converted = [f"{name}/{number}" for number in range(len(given) - 1)]
    for scaled, source, shape in zip(converted, given, inputs, strict=False):
        yield _Operation(scaled, prod(shape), (source,))
    yield _Operation(name, prod(output), (*converted, *given[len(converted) :]))


def _planned_bytes(operations: Sequence[_Operation]) -> int:
    """Return the size of the activations as the greedy planner of LiteRT Micro places them."""
    first, last, size = {}, {}, {}
    for step, operation in enumerate(operations):
        first[operation.output], size[operation.output] = step, _aligned(operation.num_bytes)
        for name in (operation.output, *operation.inputs):
            last[name] = step
    placed: list[tuple[int, int, str]] = []  # address, end, name; sorted by address
    for name in sorted(size, key=lambda name: -size[name]):
        address = 0
        for start, end, other in placed:
            is_live = first[other] <= last[name] and first[name] <= last[other]
            if is_live and start < address + size[name] and address < end:
                address = end
        placed.append((address, address + size[name], name))
        placed.sort()
    return max(end for _, end, _ in placed)


def _aligned(num_bytes: int) -> int:
    return -(-num_bytes // _ALIGNMENT) * _ALIGNMENT
