"""What follows from the nodes of a graph: their order, consumers and shapes, and what is wrong."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from lemonade_tf.architecture.layer import Layer, Shape, ShapeError
from lemonade_tf.architecture.layer_lists import listed, similar_names
from lemonade_tf.architecture.node import GraphError, Node

Nodes = Mapping[str, Node]


def check_node(nodes: Nodes, name: str, layer: Layer, inputs: tuple[str, ...]) -> None:
    """Raise unless a node among others could have this layer and these inputs.

    Raises:
        GraphError: If it could not; the message names the node.
    """
    if not isinstance(layer, Layer):
        raise GraphError(f"layer {name!r} is {layer!r}; expected a Layer.")
    for source in inputs:
        if source not in nodes:
            raise GraphError(
                f"layer {name!r} has the input {source!r}, which does not exist."
                f" {suggestion(nodes, source)}"
            )
        if source == name:
            raise GraphError(f"layer {name!r} cannot be its own input.")
    count, kind = layer.num_inputs, type(layer).__name__
    if not inputs if count is None else len(inputs) != count:
        expected = "one or more" if count is None else count
        raise GraphError(f"layer {name!r}: {kind} got {len(inputs)} inputs; expected {expected}.")


def suggestion(nodes: Nodes, name: str) -> str:
    """Return names like one that does not exist, in a sentence."""
    similar = similar_names(name, nodes)
    if similar:
        return f"Similar names: {', '.join(similar)}."
    return f"The graph has {len(nodes)} other layers." if nodes else "The graph is empty."


def consumers_of(nodes: Nodes) -> dict[str, tuple[str, ...]]:
    """Return the consumers of every node, each once, in the order of the nodes."""
    consumers: dict[str, list[str]] = {name: [] for name in nodes}
    for consumer, node in nodes.items():
        for source in dict.fromkeys(node.inputs):
            consumers[source].append(consumer)
    return {name: tuple(found) for name, found in consumers.items()}


def ordered(nodes: Nodes, consumers: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return all names so that every node comes after its inputs.

    Args:
        nodes: The nodes.
        consumers: What `consumers_of` returns for them.

    Raises:
        GraphError: If the nodes form a cycle; the message names the layers on it.
    """
    # Kahn's algorithm: a node is ready as soon as all its inputs are.
    waiting = {name: len(set(node.inputs)) for name, node in nodes.items()}
    ready = [name for name, count in waiting.items() if count == 0]
    for name in ready:  # grows during the loop
        for consumer in consumers[name]:
            waiting[consumer] -= 1
            if waiting[consumer] == 0:
                ready.append(consumer)
    if len(ready) < len(nodes):
        cycle = sorted(name for name, count in waiting.items() if count > 0)
        names = listed((name, nodes[name].layer) for name in cycle)
        raise GraphError(f"the graph has a cycle; it involves {names}.")
    return tuple(ready)


def ancestors_of(nodes: Nodes, order: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """Return the names of all nodes on which each node depends, without itself.

    Args:
        nodes: The nodes.
        order: Their names so that every node comes after its inputs.
    """
    found: dict[str, frozenset[str]] = {}
    for name in order:
        inputs = nodes[name].inputs
        found[name] = frozenset(inputs).union(*(found[source] for source in inputs))
    return found


def needed_for(nodes: Nodes, output: str) -> set[str]:
    """Return the names of a node and of all nodes on which it depends."""
    needed, pending = {output}, [output]
    while pending:  # cheaper than `ancestors_of`, which finds those of every node
        for source in nodes[pending.pop()].inputs:
            if source not in needed:
                needed.add(source)
                pending.append(source)
    return needed


def calls_of(nodes: Nodes) -> dict[Hashable, tuple[str, ...]]:
    """Return the nodes of each layer that is called more than once, by their common key."""
    found: dict[Hashable, list[str]] = {}
    for name, node in nodes.items():
        if node.origin is not None and node.origin.shared is not None:
            found.setdefault(node.origin.shared, []).append(name)
    return {key: tuple(names) for key, names in found.items() if len(names) > 1}


def shapes_of(nodes: Nodes, order: Sequence[str]) -> dict[str, Shape]:
    """Return the shape of every node's output, without the batch.

    Args:
        nodes: The nodes.
        order: Their names so that every node comes after its inputs.

    Raises:
        GraphError: If the inputs of a layer do not fit it; the message names the layer.
    """
    shapes: dict[str, Shape] = {}
    for name in order:
        node = nodes[name]
        try:
            shapes[name] = node.layer.output_shape(*[shapes[i] for i in node.inputs])
        except ShapeError as error:
            raise GraphError(f"layer {name!r}: {error}") from error
    return shapes
