"""Sample the networks of a latency table: single layers, and networks from a search space.

Layers have the resolution of the images or of one or two poolings later, and few to many channels.
To limit the time, no layer has more multiply-adds than the largest initial network of the search,
and no network more than `GROWTH` times as many; the latency model extrapolates linearly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    ConvexSum,
    Dense,
    GlobalAveragePooling2D,
    Input,
    Layer,
    MaxPooling2D,
    ReLU,
    SeparableConv2D,
    Shape,
)

CHANNELS = (8, 32, 96, 256)
NUM_NETWORKS = 24
MAX_PROPOSALS = 12  # in the chain of proposals that leads to a network
GROWTH = 4.0  # maximum multiply-adds of a network, relative to the largest initial network

Propose = Callable[..., tuple[Graph, Any] | None]


def sample_networks(
    initial: Sequence[Graph],
    propose: Propose,
    *,
    rng: np.random.Generator,
    number: int = NUM_NETWORKS,
) -> list[Graph]:
    """Return the initial networks and some descendants, each by a chain of random proposals.

    Args:
        initial: The initial networks of the search.
        propose: Returns a child of a graph and more, or None: `SearchSpace.propose`.
        rng: Draws the chains.
        number: The number of networks; a smaller number truncates the initial networks.
    """
    limit = GROWTH * max(map(count_multiply_adds, initial))
    networks = [graph.copy(weights=False) for graph in initial][:number]
    while len(networks) < number:
        graph = networks[len(networks) % len(initial)]
        for _ in range(int(rng.integers(1, MAX_PROPOSALS + 1))):
            proposed = propose(graph, rng=rng)
            if proposed is not None and count_multiply_adds(proposed[0]) <= limit:
                graph = proposed[0]
        networks.append(graph)
    return networks


def sample_layers(
    input_shape: Shape,
    num_classes: int,
    *,
    max_multiply_adds: float,
    channels: Sequence[int] = CHANNELS,
) -> list[Graph]:
    """Return networks of a single layer.

    Args:
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        max_multiply_adds: Layers with more are left out.
        channels: The numbers of channels.
    """
    side = min(input_shape[:2])
    sides = dict.fromkeys(side // 2**i for i in range(3) if side // 2**i > 1)
    graphs = [_single(Conv2D(filters, (3, 3)), input_shape) for filters in channels[:3]]
    for side in sides:
        for number, width in enumerate(channels):
            wider = channels[number + 1 : number + 2]
            for layer in _layers_of_width(width, wider):
                graphs.append(_single(layer, (side, side, width)))
    graphs += [_single(Dense(num_classes), (width,)) for width in channels]
    return [graph for graph in graphs if count_multiply_adds(graph) <= max_multiply_adds]


def _layers_of_width(width: int, wider: Sequence[int]) -> Iterator[Layer]:
    """Yield the layers to measure for an input of `width` channels.

    Args:
        width: The number of channels of the input.
        wider: The next larger number of channels, for layers that output more; or empty.
    """
    for size in (1, 3, 5):
        yield Conv2D(width, (size, size))
    for size in (3, 5):
        yield SeparableConv2D(width, (size, size))
    for filters in wider:
        yield Conv2D(filters, (3, 3))
        yield SeparableConv2D(filters, (3, 3))
    yield from (BatchNormalization(), ReLU(), MaxPooling2D((2, 2)), GlobalAveragePooling2D())
    yield from (Add(), ConvexSum(), Concatenate())


def _single(layer: Layer, shape: Shape) -> Graph:
    """Return a network of one layer; all of its inputs are the input of the network."""
    graph = Graph()
    at = graph.add("input", Input(tuple(shape)))
    graph.output = graph.add("layer", layer, [at] * (layer.num_inputs or 2))
    return graph
