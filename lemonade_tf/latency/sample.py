"""What is measured for a table: layers that the search spaces use, and networks drawn from one.

Sizes follow from the images: their resolution and those after one and two poolings, and channels
from few to many. No layer and no network has many more multiply-adds than the largest network that
a search begins with, for the sake of time; the model goes on in proportion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_multiply_adds
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
MOST_PROPOSALS = 12  # of a chain that leads to a network
GROWTH = 4.0  # how many times the multiply-adds of the largest initial network are too many

Propose = Callable[..., tuple[Graph, Any] | None]


def sample_networks(
    initial: Sequence[Graph],
    propose: Propose,
    *,
    rng: np.random.Generator,
    number: int = NUM_NETWORKS,
) -> list[Graph]:
    """Return the initial networks, and descendants of them by chains of random proposals.

    Args:
        initial: The networks that a search begins with.
        propose: Returns a child of a graph and more, or None: `SearchSpace.propose`.
        rng: Draws chains.
        number: How many networks; the first of the initial ones if that is less.
    """
    limit = GROWTH * max(map(count_multiply_adds, initial))
    networks = [graph.copy(weights=False) for graph in initial][:number]
    while len(networks) < number:
        graph = networks[len(networks) % len(initial)]
        for _ in range(int(rng.integers(1, MOST_PROPOSALS + 1))):
            proposed = propose(graph, rng=rng)
            if proposed is not None and count_multiply_adds(proposed[0]) <= limit:
                graph = proposed[0]
        networks.append(graph)
    return networks


def sample_layers(
    input_shape: Shape,
    num_classes: int,
    *,
    most_multiply_adds: float,
    channels: Sequence[int] = CHANNELS,
) -> list[Graph]:
    """Return layers alone, each as a network that reads its input.

    Args:
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        most_multiply_adds: Layers with more are left out.
        channels: How many channels layers have.
    """
    side = min(input_shape[:2])
    sides = dict.fromkeys(side // 2**i for i in range(3) if side // 2**i > 1)
    found = [_alone(Conv2D(filters, 3), input_shape) for filters in channels[:3]]
    for side in sides:
        for number, width in enumerate(channels):
            wider = channels[number + 1 : number + 2]
            for layer in _of_width(width, wider):
                found.append(_alone(layer, (side, side, width)))
    found += [_alone(Dense(num_classes), (width,)) for width in channels]
    return [graph for graph in found if count_multiply_adds(graph) <= most_multiply_adds]


def _of_width(width: int, wider: Sequence[int]) -> Iterator[Layer]:
    """Yield layers for images of so many channels; some put out more."""
    for size in (1, 3, 5):
        yield Conv2D(width, size)
    for size in (3, 5):
        yield SeparableConv2D(width, size)
    for filters in wider:
        yield Conv2D(filters, 3)
        yield SeparableConv2D(filters, 3)
    yield from (BatchNormalization(), ReLU(), MaxPooling2D(2), GlobalAveragePooling2D())
    yield from (Add(), ConvexSum(), Concatenate())


def _alone(layer: Layer, shape: Shape) -> Graph:
    """Return a network of one layer, which reads its input twice if it reads two."""
    graph = Graph()
    at = graph.add("input", Input(tuple(shape)))
    graph.output = graph.add("layer", layer, [at] * (layer.num_inputs or 2))
    return graph
