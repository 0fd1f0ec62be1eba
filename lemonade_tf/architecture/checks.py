"""What holds of every graph, in one place."""

from __future__ import annotations

import numpy as np

from lemonade_tf.architecture.graph import Graph, GraphError, Node


def check(graph: Graph) -> None:
    """Raise unless every invariant of a graph holds.

    - Names are non-empty strings without "/" (Keras makes paths of them), and nodes are `Node`s.
    - There is one Input, and the output exists.
    - Every node reads nodes that exist, as many as its layer reads; none in a circle.
    - Every node contributes to the output.
    - Every layer can read what it is given.
    - Either no node has weights, or every node has those its layer needs: names, shapes, finite
      floating-point numbers, read-only; no variance is negative.

    Args:
        graph: The graph, which is not changed.

    Raises:
        GraphError: An invariant is broken; the message says what and where.
    """
    for name, node in graph.items():
        if not isinstance(name, str) or not name or "/" in name:
            raise GraphError(f"{name!r} is no name for a node; expected text without '/'.")
        if not isinstance(node, Node):
            raise GraphError(f"{name!r} is {node!r}; expected a Node.")
        if not isinstance(node.inputs, tuple):
            raise GraphError(
                f"node {name!r}: inputs are {node.inputs!r}; expected a tuple of names."
            )
        graph.check_node(name, node.layer, node.inputs)
    _ = graph.input
    graph.topological_order()
    needed = graph.ancestors(graph.output) | {graph.output}
    unused = [name for name in graph if name not in needed]
    if unused:
        raise GraphError(
            f"the output {graph.output!r} does not depend on {', '.join(unused)};"
            " remove_unused() removes such nodes."
        )
    graph.shapes()
    if graph.has_weights:
        for name in graph:
            _check_weights(graph, name)


def _check_weights(graph: Graph, name: str) -> None:
    node = graph[name]
    expected = dict(graph.weight_shapes(name))
    for key, value in node.weights.items():
        if not isinstance(value, np.ndarray):
            raise GraphError(f"node {name!r}: {key} is {value!r}; expected an array.")
    given = {key: value.shape for key, value in node.weights.items()}
    if given != expected:
        raise GraphError(
            f"node {name!r} ({type(node.layer).__name__}) needs weights of shapes {expected}; it"
            f" has {given}."
        )
    for key, value in node.weights.items():
        if not np.issubdtype(value.dtype, np.floating):
            raise GraphError(f"node {name!r}: {key} is of type {value.dtype}, not floating point.")
        if value.flags.writeable:
            raise GraphError(f"node {name!r}: {key} can be written to; weights are read-only.")
        if not np.isfinite(value).all():
            raise GraphError(f"node {name!r}: {key} has values that are not finite numbers.")
        if key in ("moving_variance", "variance") and (value < 0).any():
            what = key.replace("_", " ")
            raise GraphError(f"node {name!r}: a {what} is negative: {value.min()}.")
