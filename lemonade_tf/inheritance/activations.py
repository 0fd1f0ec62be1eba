"""Compute the outputs of a network node by node, without compiling it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import prod
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture.graph import Graph

_MAX_VALUES = 2**26  # per output of a layer: 256 MB in float32

_MERGING = tuple(
    getattr(keras.layers, name)
    for name in ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply")
)

Images = np.ndarray | Mapping[str, np.ndarray]

Compute = Callable[[str, list[Any]], Any]  # (name of a node, values of its inputs) -> its value


def max_batch_size(graph: Graph, limit: int) -> int:
    """Return the number of images, at most `limit`, whose largest activation fits into memory."""
    largest = max(prod(shape) for shape in graph.shapes().values())
    return max(1, min(limit, _MAX_VALUES // largest))


def count_images(images: Images) -> int:
    """Return the number of images."""
    return len(next(iter(images.values()))) if isinstance(images, Mapping) else len(images)


def take_images(images: Images, chosen: np.ndarray | slice) -> Images:
    """Return some of the images, for all inputs if there are several.

    Args:
        images: The images.
        chosen: Their indices, a mask, or a slice.
    """
    if isinstance(images, Mapping):
        return {name: array[chosen] for name, array in images.items()}
    return images[chosen]


def in_order(graph: Graph, images: Images) -> list[np.ndarray]:
    """Return the images for each input of a network, in the order of its inputs."""
    by_name = images if isinstance(images, Mapping) else {graph.input: images}
    return [by_name[name] for name in graph.inputs]


def input_values(graph: Graph, model: keras.Model, images: Images) -> dict[str, Any]:
    """Return the values of the Input nodes.

    Args:
        graph: The network.
        model: Its model, whose inputs may take integers.
        images: The images; for several inputs, an array for each by its name.
    """
    by_name = images if isinstance(images, Mapping) else {graph.input: images}
    types = {name: tensor.dtype for name, tensor in zip(graph.inputs, model.inputs, strict=True)}
    return {name: keras.ops.cast(by_name[name], types[name]) for name in graph.inputs}


def call_layer(layer: Any, inputs: list[Any]) -> Any:
    """Return the output of a layer at inference.

    Args:
        layer: The layer of a node; one that merges tensors takes a list, even of a single one.
        inputs: The values of its inputs.
    """
    is_single = len(inputs) == 1 and not isinstance(layer, _MERGING)
    return layer(inputs[0] if is_single else inputs, training=False)


def walk(
    graph: Graph,
    known: Mapping[str, Any],
    until: Collection[str],
    compute: Compute,
    *,
    keep: Collection[str] = (),
) -> dict[str, Any]:
    """Compute nodes in topological order, up to some of them.

    A value is released after its last consumer has been computed.

    Args:
        graph: The network.
        known: The values of nodes that need not be computed.
        until: The last nodes to compute.
        compute: Computes the value of a node.
        keep: The nodes whose values to return.

    Returns:
        The values of `keep`.
    """
    needed = _needed(graph, known, {*until, *keep})
    # Reference counts: the consumers of each value that are still to be computed.
    num_consumers = dict.fromkeys((*needed, *known), 0)
    for name in needed:
        for source in set(graph[name].inputs):
            num_consumers[source] += 1
    values = dict(known)
    for name in (n for n in graph.topological_order() if n in needed):
        inputs = graph[name].inputs
        values[name] = compute(name, [values[source] for source in inputs])
        for source in set(inputs):
            num_consumers[source] -= 1
            if not num_consumers[source] and source not in keep:
                del values[source]
        if not num_consumers[name] and name not in keep:
            del values[name]
    return {name: values[name] for name in keep}


def _needed(graph: Graph, known: Mapping[str, Any], until: Collection[str]) -> set[str]:
    """Return the nodes to compute: `until` and their ancestors, down to known nodes."""
    needed: set[str] = set()
    pending = [name for name in until if name not in known]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending.extend(n for n in graph[name].inputs if n not in known)
    return needed
