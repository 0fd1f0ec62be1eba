"""A graph as text: readable, as JSON, and as a hash that ignores names.

Two graphs are the *same architecture* if one becomes the other by renaming its nodes; the order
of nodes, and that of the inputs of an Add or a Multiply, do not matter either. `canonical_hash` is
equal for such graphs; `same_architecture` decides, so that a collision of hashes does no harm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from itertools import permutations
from typing import Any

import numpy as np

from lemonade_tf.architecture.checks import check
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.graph import Graph, GraphError, Node, freeze
from lemonade_tf.architecture.layers import LAYERS, Add, Layer, Multiply, arguments

FORMAT = 1
_KINDS = {kind.__name__: kind for kind in LAYERS}
_COMMUTATIVE = (Add, Multiply)

# Arguments that kinds of layers got later, with the value that changes nothing. A hash leaves them
# out where they have it, so that hashes on record stay what they are.
_LATER_ARGUMENTS = {"groups": 1, "keepdims": False, "noise_shape": None}


# --- The same architecture -------------------------------------------------------------------


def canonical_hash(graph: Graph) -> str:
    """Return 32 hexadecimal digits that are equal for equal architectures.

    The same on every machine and in every process. Weights do not count.
    """
    return graph.cached("canonical_hash", _canonical_hash)


def _canonical_hash(graph: Graph) -> str:
    digests = _node_digests(graph)
    whole = hashlib.blake2b(digests[graph.output], digest_size=16)
    whole.update(b"".join(sorted(digests.values())))  # one node read twice is not two equal nodes
    return whole.hexdigest()


def _node_digests(graph: Graph) -> dict[str, bytes]:
    """Return, for every node, a digest of everything that it depends on."""
    digests: dict[str, bytes] = {}
    for name in graph.topological_order():
        node = graph[name]
        inputs = [digests[i] for i in node.inputs]
        if isinstance(node.layer, _COMMUTATIVE):
            inputs.sort()
        content = _layer_bytes(node.layer) + b"".join(inputs)
        digests[name] = hashlib.blake2b(content, digest_size=16).digest()
    return digests


@lru_cache(maxsize=65536)
def _layer_bytes(layer: Layer) -> bytes:
    given = ", ".join(
        f"{name}={value!r}"
        for name, value in arguments(layer).items()
        if name not in _LATER_ARGUMENTS or value != _LATER_ARGUMENTS[name]
    )
    return f"{type(layer).__name__}({given})".encode()


def same_architecture(first: Graph, second: Graph) -> bool:
    """Return whether renaming the nodes of one graph makes it the other; weights do not count."""
    if len(first) != len(second):
        return False
    digests = (_node_digests(first), _node_digests(second))
    if sorted(digests[0].values()) != sorted(digests[1].values()):
        return False
    return _match(first, second, digests, [(first.output, second.output)], {}, {})


def _match(
    first: Graph,
    second: Graph,
    digests: tuple[dict[str, bytes], dict[str, bytes]],
    pending: list[tuple[str, str]],
    there: dict[str, str],
    back: dict[str, str],
) -> bool:
    """Extend the renaming (there, back) so that it also matches the pending pairs."""
    pending, there, back = list(pending), dict(there), dict(back)
    while pending:
        a, b = pending.pop()
        if a in there or b in back:
            if there.get(a) != b or back.get(b) != a:
                return False
            continue
        if digests[0][a] != digests[1][b] or first[a].layer != second[b].layer:
            return False
        there[a], back[b] = b, a
        inputs, others = first[a].inputs, second[b].inputs
        if isinstance(first[a].layer, _COMMUTATIVE):
            return any(
                _match(
                    first, second, digests, [*pending, *zip(inputs, p, strict=True)], there, back
                )
                for p in permutations(others)
                if [digests[0][i] for i in inputs] == [digests[1][i] for i in p]
            )
        pending.extend(zip(inputs, others, strict=True))
    return True


# --- Readable --------------------------------------------------------------------------------


def describe(graph: Graph) -> str:
    """Return the network as text for a reader: a line a node, in order, with its shape."""
    shapes = graph.shapes()
    rows = []
    for name in graph.topological_order():
        node = graph[name]
        given = ", ".join(f"{k}={v}" for k, v in _changed_arguments(node.layer).items())
        reads = f" <- {', '.join(node.inputs)}" if node.inputs else ""
        shape = "x".join(map(str, shapes[name]))
        rows.append((name, f"{type(node.layer).__name__}({given})", shape, reads))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}{d}" for a, b, c, d in rows]
    parameters, multiply_adds = count_parameters(graph), count_multiply_adds(graph)
    return "\n".join([*lines, f"{parameters:,} parameters, {multiply_adds:,} multiply-adds"])


def _changed_arguments(layer: Layer) -> Mapping[str, Any]:
    """Return the arguments that differ from the defaults of the layer's kind."""
    defaults = {f.name: f.default for f in type(layer).__dataclass_fields__.values()}
    short = {}
    for name, value in arguments(layer).items():
        if value == defaults[name] or (
            name == "strides" and value == arguments(layer).get("pool_size")
        ):
            continue
        pair = isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]
        short[name] = value[0] if pair else value
    return short


# --- JSON ------------------------------------------------------------------------------------


def to_json(graph: Graph) -> str:
    """Return the architecture, with lambda of convex sums in full precision, as JSON."""
    nodes = []
    for name, node in graph.items():
        entry: dict[str, Any] = {
            "name": name,
            "layer": type(node.layer).__name__,
            "arguments": arguments(node.layer),
            "inputs": node.inputs,
        }
        if "lambda" in node.weights:
            entry["lambda"] = float(node.weights["lambda"])
        nodes.append(entry)
    return json.dumps({"format": FORMAT, "output": graph.output, "nodes": nodes})


def from_json(text: str, weights: Mapping[str, Mapping[str, np.ndarray]] | None = None) -> Graph:
    """Return the graph that `to_json` wrote, its nodes in the same order.

    Args:
        text: The JSON.
        weights: The weights of each node that has any, lambda aside; None for a graph of shapes.

    Raises:
        GraphError: The text is not such JSON, names a layer or an argument that this version of
            the package does not know, or describes a broken graph.
    """
    try:
        content = json.loads(text)
        version, entries, output = content["format"], content["nodes"], content["output"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise GraphError(f"this is not an architecture written by lemonade_tf: {error!r}") from None
    if version != FORMAT:
        raise GraphError(
            f"the architecture has format {version!r}; this version of lemonade_tf reads {FORMAT}."
        )
    nodes = {}
    try:
        for entry in entries:
            given: dict[str, Any] = {}
            if weights is not None:
                given = dict(weights.get(entry["name"], {}))
                if "lambda" in entry:
                    given["lambda"] = np.float32(entry["lambda"])
            nodes[entry["name"]] = Node(_layer_from(entry), tuple(entry["inputs"]), freeze(given))
    except (KeyError, TypeError, AttributeError) as error:
        raise GraphError(f"this is not an architecture written by lemonade_tf: {error!r}") from None
    graph = Graph.from_nodes(nodes, output)
    check(graph)
    return graph


def _layer_from(entry: Mapping[str, Any]) -> Layer:
    kind = _KINDS.get(entry["layer"])
    if kind is None:
        raise GraphError(
            f"node {entry['name']!r} is of the unknown kind {entry['layer']!r}; known are"
            f" {', '.join(_KINDS)}."
        )
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in entry["arguments"].items()}
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise GraphError(f"node {entry['name']!r}: {error}") from None
