"""All invariants of a graph, in one place."""

from __future__ import annotations

import numpy as np

from lemonade_tf.architecture.graph import Graph, GraphError, Node
from lemonade_tf.architecture.layers import LAYERS
from lemonade_tf.architecture.opaque import IMPORTED_LAYERS, Opaque


def check(graph: Graph) -> None:
    """Raise unless all invariants of a graph hold.

    - Names are non-empty strings without "/" (Keras builds paths from them); nodes are `Node`s
      whose layers are of the kinds in LAYERS, or of those that only imported models have.
    - There is an Input (one, unless the model was imported), and the output exists.
    - The inputs of every node exist, their number fits its layer, and there is no cycle.
    - The output depends on every node.
    - The shapes of the inputs of every layer fit it.
    - Either no node has weights, or every node has the weights that its layer needs, with their
      names and shapes, as finite floating-point numbers, read-only. No variance is negative.
    - The nodes of several calls of one layer have the same layer and weights.

    Args:
        graph: The graph. It is not changed.

    Raises:
        GraphError: If an invariant is broken; the message names the node.
    """
    for name, node in graph.items():
        if not isinstance(name, str) or not name or "/" in name:
            raise GraphError(
                f"{name!r} is not a valid name; expected a non-empty string without '/'."
            )
        if not isinstance(node, Node):
            raise GraphError(f"layer {name!r} is {node!r}; expected a Node.")
        if not isinstance(node.inputs, tuple):
            raise GraphError(
                f"layer {name!r}: inputs are {node.inputs!r}; expected a tuple of names."
            )
        graph.check_node(name, node.layer, node.inputs)
        if type(node.layer) not in (*LAYERS, *IMPORTED_LAYERS):
            kind = type(node.layer).__name__
            raise GraphError(f"layer {name!r} is a {kind}; expected one of LAYERS.")
    if graph.origin is None or not graph.inputs:
        _ = graph.input
    graph.topological_order()
    unused = graph.unused()
    if unused:
        raise GraphError(
            f"the output {graph.output!r} does not depend on {graph.listed(unused)};"
            " remove_unused() removes such layers."
        )
    graph.shapes()
    if graph.has_weights:
        for name in graph:
            _check_weights(graph, name)
    check_calls(graph)


def _check_weights(graph: Graph, name: str) -> None:
    node = graph[name]
    expected = dict(graph.weight_shapes(name))
    for key, value in node.weights.items():
        if not isinstance(value, np.ndarray):
            raise GraphError(f"layer {name!r}: {key} is {value!r}; expected an array.")
    given = {key: value.shape for key, value in node.weights.items()}
    if given != expected:
        raise GraphError(
            f"layer {name!r} ({type(node.layer).__name__}): the weights have the shapes {given};"
            f" expected {expected}."
        )
    for key, value in node.weights.items():
        if value.flags.writeable:
            raise GraphError(f"layer {name!r}: {key} is writable; expected a read-only array.")
        if isinstance(node.layer, Opaque):  # whatever its layer computes with
            continue
        if not np.issubdtype(value.dtype, np.floating):
            raise GraphError(
                f"layer {name!r}: {key} has dtype {value.dtype}; expected floating point."
            )
        if not np.isfinite(value).all():
            raise GraphError(f"layer {name!r}: {key} has values that are not finite.")
        if key in ("moving_variance", "variance") and (value < 0).any():
            raise GraphError(f"layer {name!r}: {key} has the negative value {value.min()}.")


def check_calls(graph: Graph) -> None:
    """Raise unless all calls of a layer have the same layer and weights.

    Raises:
        GraphError: If they differ; the message names them.
    """
    for names in graph.calls().values():
        first = graph[names[0]]
        for name in names[1:]:
            node = graph[name]
            if node.layer != first.layer or not all(
                np.array_equal(node.weights[key], first.weights[key]) for key in first.weights
            ):
                raise GraphError(
                    f"layers {names[0]!r} and {name!r} are calls of one layer, but differ; edit"
                    " all calls of a layer alike."
                )
