"""Graphs as hashes that ignore names, compared up to names, and as JSON.

Two graphs are the *same architecture* if renaming the nodes of one gives the other, regardless of
the order of nodes and of the inputs of an Add, a Multiply or the like. Such graphs have the same
`canonical_hash`; graphs with the same hash are compared by `same_architecture`, so that collisions
are harmless.

The digest of a node is a hash of its layer and of the digests of its inputs, as in a Merkle tree,
so it identifies everything on which the node depends, except for sharing: a node that is consumed
twice and two equal nodes give their consumers the same digest. The hash of the graph therefore also
covers the multiset of all digests, which differs in the number of nodes. What is left (which of
several equal nodes are shared by whom) the comparison decides: it is a graph isomorphism, found by
matching the nodes from the output backwards. Digests prune the search: of the orders of the inputs
of an Add or a Multiply, only those are tried in which inputs with equal digests meet.
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
from lemonade_tf.architecture.graph import Graph, GraphError, Node, freeze
from lemonade_tf.architecture.layer_lists import kind_name
from lemonade_tf.architecture.layers import (
    LAYERS,
    Add,
    Average,
    Layer,
    Maximum,
    Minimum,
    Multiply,
    arguments,
)
from lemonade_tf.safe_json import read_json

FORMAT = 1
# Beyond these, some algorithms on graphs take very long.
MAX_NODES, MAX_NAME = 10_000, 200
_KINDS = {kind.__name__: kind for kind in LAYERS}
_COMMUTATIVE = (Add, Average, Maximum, Minimum, Multiply)

# Arguments that were added to kinds of layers later, with the value that stands for the layer as it
# was before. Hashes leave out arguments with this value, so that recorded hashes stay valid.
_LATER_ARGUMENTS = {
    "groups": 1,
    "keepdims": False,
    "noise_shape": None,
    "dilation_rate": (1, 1),
    "negative_slope": 0.0,
    "threshold": 0.0,
}

# What Python raises for JSON values that have another form than expected.
_MALFORMED = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)


# --- The same architecture -------------------------------------------------------------------


def canonical_hash(graph: Graph) -> str:
    """Return 32 hexadecimal digits that are the same for the same architecture.

    They do not depend on the weights, the machine or the process.
    """
    return graph.cached("canonical_hash", _canonical_hash)


def _canonical_hash(graph: Graph) -> str:
    digests = _node_digests(graph)
    whole = hashlib.blake2b(digests[graph.output], digest_size=16)
    whole.update(b"".join(sorted(digests.values())))  # a node consumed twice is not two nodes
    return whole.hexdigest()


def _node_digests(graph: Graph) -> dict[str, bytes]:
    """Return for every node a digest of its layer and of everything on which it depends."""
    digests: dict[str, bytes] = {}
    for name in graph.topological_order():
        node = graph[name]
        inputs = [digests[i] for i in node.inputs]
        if isinstance(node.layer, _COMMUTATIVE):
            inputs.sort()  # makes the digest independent of their order
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
    """Return whether renaming the nodes of one graph gives the other; weights are ignored.

    Both graphs have to be valid: their outputs depend on all their nodes.
    """
    digests = _node_digests(first), _node_digests(second)
    if sorted(digests[0].values()) != sorted(digests[1].values()):
        return False
    return _match(first, second, digests, [(first.output, second.output)], {})


def _match(
    first: Graph,
    second: Graph,
    digests: tuple[dict[str, bytes], dict[str, bytes]],
    pending: list[tuple[str, str]],
    renaming: dict[str, str],
) -> bool:
    """Extend a renaming so that it also matches the pending pairs of nodes, and their inputs.

    The renaming is consistent, so it maps each node of the first graph to one of the second. Every
    node of the second is reached from its output, so the renaming is onto. As both graphs have the
    same number of nodes, it is also one to one.

    Args:
        first: A graph.
        second: A graph with as many nodes.
        digests: The digests of the nodes of both.
        pending: Pairs of a node of each graph that have to match.
        renaming: The renaming so far, from the first graph to the second.

    Returns:
        Whether there is such a renaming.
    """
    pending, renaming = list(pending), dict(renaming)
    while pending:
        a, b = pending.pop()
        if a in renaming:
            # Reached by another path before; the pair has to agree with what was decided there.
            if renaming[a] != b:
                return False
            continue
        inputs, others = first[a].inputs, second[b].inputs
        if first[a].layer != second[b].layer or len(inputs) != len(others):
            return False
        renaming[a] = b
        if isinstance(first[a].layer, _COMMUTATIVE):
            # The first order that works for this node may fail at a later one, so each order is
            # tried to the end, with a copy of the renaming (backtracking).
            wanted = [digests[0][i] for i in inputs]
            return any(
                _match(
                    first, second, digests, [*pending, *zip(inputs, order, strict=True)], renaming
                )
                for order in permutations(others)
                if [digests[1][i] for i in order] == wanted
            )
        pending.extend(zip(inputs, others, strict=True))
    return True


# --- JSON ------------------------------------------------------------------------------------


def to_json(graph: Graph) -> str:
    """Return the architecture as JSON, with the lambda of convex sums in full precision.

    Raises:
        GraphError: If the graph has layers of unknown kind, or several inputs or outputs.
    """
    nodes = []
    for name, node in graph.items():
        if type(node.layer) not in LAYERS:
            raise GraphError(
                f"layer {name!r} is a {kind_name(node.layer)}, which the file of a network cannot"
                " contain; save to_keras(graph) as a Keras model."
            )
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
    """Return the graph that `to_json` wrote, with its nodes in the same order.

    Args:
        text: The JSON.
        weights: The weights of each node that has any, without lambda; None for a graph of shapes.

    Raises:
        GraphError: If the text is not such JSON, has layers or arguments that this version of the
            package does not know, has more than 10,000 nodes, or describes a broken graph.
    """
    try:
        content = read_json(text)
        version, entries, output = content["format"], content["nodes"], content["output"]
    except _MALFORMED as error:
        raise GraphError(f"this is not an architecture written by lemonade_tf: {error!r}") from None
    if version != FORMAT:
        raise GraphError(
            f"the architecture has format {version!r}; expected {FORMAT}, the format of this"
            " version of lemonade_tf."
        )
    nodes = {}
    try:
        _check_entries(entries, output)
        for entry in entries:
            given: dict[str, Any] = {}
            if weights is not None:
                given = dict(weights.get(entry["name"], {}))
                if "lambda" in entry:
                    given["lambda"] = np.float32(entry["lambda"])
            nodes[entry["name"]] = Node(_layer_from(entry), tuple(entry["inputs"]), freeze(given))
        graph = Graph.from_nodes(nodes, output)
        check(graph)
    except GraphError:
        raise
    except _MALFORMED as error:
        raise GraphError(f"this is not an architecture written by lemonade_tf: {error!r}") from None
    return graph


def _check_entries(entries: Any, output: Any) -> None:
    """Check the number of nodes and their names.

    `check` does so as well, and suggests similar names, which takes long if names are long.

    Raises:
        GraphError: If there are too many nodes, a name is invalid or used twice, or an input or the
            output does not exist.
        TypeError: If the entries are no mappings, or their names no text.
    """
    if len(entries) > MAX_NODES:
        raise GraphError(
            f"the network has {len(entries):,} layers; expected at most {MAX_NODES:,}."
        )
    names = [entry["name"] for entry in entries]
    known = set(names)
    if len(known) < len(names):
        raise GraphError("the network has two layers of the same name; expected different ones.")
    for name in names:
        if not name or "/" in name or len(name) > MAX_NAME:
            raise GraphError(
                f"{name[:MAX_NAME]!r} is not a valid name; expected 1 to {MAX_NAME} characters"
                " without '/'."
            )
    for entry in entries:
        for source in entry["inputs"]:
            if source not in known:
                raise GraphError(
                    f"layer {entry['name']!r} has the input {source[:MAX_NAME]!r}, which does not"
                    " exist."
                )
    if output not in known:
        raise GraphError(f"the output is {output[:MAX_NAME]!r}; expected the name of a layer.")


def _layer_from(entry: Mapping[str, Any]) -> Layer:
    kind = _KINDS.get(entry["layer"])
    if kind is None:
        raise GraphError(
            f"layer {entry['name']!r} has the unknown layer {entry['layer']!r}; expected one of"
            f" {', '.join(_KINDS)}."
        )
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in entry["arguments"].items()}
    try:
        return kind(**given)
    except (TypeError, ValueError, OverflowError) as error:
        raise GraphError(f"layer {entry['name']!r}: {error}") from None
