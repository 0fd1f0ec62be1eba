"""A network as a graph of layers, with or without weights.

A `Graph` maps names to nodes. A node is a frozen value: a layer, the names of the nodes it
reads, and its weights. Consumers, order and shapes are computed when asked for and kept until
the next edit. Copying copies one dictionary, so a child costs microseconds; weights are
read-only arrays that parent and child share until one of them sets new ones.

A graph is either *weighted* (every node that needs weights has them) or made of shapes alone
(no node has any): proposals are made on shapes, and weights are touched only for those that are
accepted.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lemonade_tf.architecture.layers import LAYERS, Input, Layer, Shape, ShapeError
from lemonade_tf.errors import LemonadeError


class GraphError(LemonadeError, ValueError):
    """An edit that would break a graph, or a graph that is broken."""


@dataclass(frozen=True)
class Node:
    """A layer in its place.

    Attributes:
        layer: What it computes.
        inputs: The names of the nodes that it reads, in order.
        weights: Read-only float arrays by their names in Keras; empty in a graph of shapes.
    """

    layer: Layer
    inputs: tuple[str, ...] = ()
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)


def freeze(weights: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
    """Return weights as read-only arrays; arrays that are read-only already are shared."""
    frozen = {}
    for name, value in weights.items():
        array = np.asarray(value)
        if array.flags.writeable:
            array = array.copy()
            array.flags.writeable = False
        frozen[name] = array
    return frozen


class Graph:
    """A directed acyclic graph of layers with one input and one output.

    The verbs `add`, `remove`, `redirect`, `set_layer`, `set_inputs` and `set_weights` edit it;
    each checks before it edits, so a refused edit leaves the graph as it was. `output` is the
    name of the node whose value the network returns.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._output: str | None = None
        self._wiring: dict[str, Any] = {}  # what follows from names and inputs
        self._cache: dict[Hashable, Any] = {}  # what follows from the layers too
        self._prefix = ""  # of the names that unique_name makes

    @classmethod
    def from_nodes(cls, nodes: Mapping[str, Node], output: str) -> Graph:
        """Return a graph of these nodes, in this order, unchecked; `check` checks it."""
        graph = cls()
        graph._nodes = dict(nodes)
        graph._output = output
        return graph

    # --- Reading -------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Node:
        try:
            return self._nodes[name]
        except KeyError:
            raise GraphError(f"there is no node {name!r}. {self._nearest(name)}") from None

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield (name, node) in the order of insertion."""
        return iter(self._nodes.items())

    @property
    def input(self) -> str:
        """The name of the node where the images come in."""
        if "input" not in self._cache:
            names = [n for n, node in self._nodes.items() if isinstance(node.layer, Input)]
            if len(names) != 1:
                raise GraphError(f"a graph has one Input; this one has {len(names)}: {names}.")
            self._cache["input"] = names[0]
        return self._cache["input"]

    @property
    def output(self) -> str:
        """The name of the node whose value the network returns."""
        if self._output is None:
            raise GraphError("the graph has no output; set graph.output to a node's name.")
        return self._output

    @output.setter
    def output(self, name: str) -> None:
        self._require(name)
        self._output = name
        self._cache = {}

    @property
    def has_weights(self) -> bool:
        """Whether the nodes carry weights."""
        return any(node.weights for node in self._nodes.values())

    def consumers(self, name: str) -> tuple[str, ...]:
        """Return the names of the nodes that consume `name`, each once, in insertion order."""
        self._require(name)
        return self.all_consumers()[name]

    def all_consumers(self) -> Mapping[str, tuple[str, ...]]:
        """Return the consumers of every node by its name."""
        if "consumers" not in self._wiring:
            readers: dict[str, list[str]] = {n: [] for n in self._nodes}
            for reader, node in self._nodes.items():
                for source in dict.fromkeys(node.inputs):
                    readers[source].append(reader)
            self._wiring["consumers"] = {n: tuple(r) for n, r in readers.items()}
        return self._wiring["consumers"]

    def topological_order(self) -> tuple[str, ...]:
        """Return all names so that every node comes after the nodes that it reads.

        Raises:
            GraphError: The nodes form a cycle; the message names those on it.
        """
        if "order" not in self._wiring:
            waiting = {n: len(set(node.inputs)) for n, node in self._nodes.items()}
            ready = [n for n, count in waiting.items() if count == 0]
            consumers = self.all_consumers()
            for name in ready:  # grows while it is walked
                for reader in consumers[name]:
                    waiting[reader] -= 1
                    if waiting[reader] == 0:
                        ready.append(reader)
            if len(ready) < len(self._nodes):
                cycle = sorted(n for n, count in waiting.items() if count > 0)
                raise GraphError(f"nodes read each other in a circle: {', '.join(cycle)}.")
            self._wiring["order"] = tuple(ready)
        return self._wiring["order"]

    def shapes(self) -> Mapping[str, Shape]:
        """Return the shape of every node's output, without the batch.

        Raises:
            GraphError: A layer cannot read its inputs; the message names the node.
        """
        if "shapes" not in self._cache:
            shapes: dict[str, Shape] = {}
            for name in self.topological_order():
                node = self._nodes[name]
                try:
                    shapes[name] = node.layer.output_shape(*[shapes[i] for i in node.inputs])
                except ShapeError as error:
                    raise GraphError(f"node {name!r}: {error}") from error
            self._cache["shapes"] = shapes
        return self._cache["shapes"]

    def input_shapes(self, name: str) -> tuple[Shape, ...]:
        """Return the shapes of what a node reads."""
        shapes = self.shapes()
        return tuple(shapes[i] for i in self[name].inputs)

    def weight_shapes(self, name: str) -> Mapping[str, Shape]:
        """Return the shape of each weight that a node needs, whether or not it has them."""
        return self[name].layer.weight_shapes(*self.input_shapes(name))

    def ancestors(self, name: str) -> frozenset[str]:
        """Return the names of all nodes that `name` depends on, without itself."""
        if "ancestors" not in self._wiring:
            found: dict[str, frozenset[str]] = {}
            for node in self.topological_order():
                inputs = self._nodes[node].inputs
                found[node] = frozenset(inputs).union(*(found[i] for i in inputs))
            self._wiring["ancestors"] = found
        self._require(name)
        return self._wiring["ancestors"][name]

    def cached(self, key: Hashable, compute: Callable[[Graph], Any]) -> Any:
        """Return compute(self), computed once between two edits.

        For facts that other modules derive from the structure and ask for often; setting weights
        does not forget them.
        """
        if key not in self._cache:
            self._cache[key] = compute(self)
        return self._cache[key]

    # --- Editing -------------------------------------------------------------------------------

    def copy(self, *, weights: bool = True) -> Graph:
        """Return a graph with the same nodes, to edit; weights are shared, or left out."""
        other = Graph()
        if weights:
            other._nodes = dict(self._nodes)
        else:
            other._nodes = {
                n: Node(node.layer, node.inputs) if node.weights else node
                for n, node in self._nodes.items()
            }
        other._output = self._output
        other._wiring = dict(self._wiring)
        other._cache = dict(self._cache)
        return other

    def unique_name(self, stem: str) -> str:
        """Return stem_1, stem_2, ...: the first that no node has."""
        stem = self._prefix + stem
        number = 1
        while f"{stem}_{number}" in self._nodes:
            number += 1
        return f"{stem}_{number}"

    @contextmanager
    def naming(self, prefix: str) -> Iterator[None]:
        """Let the names that `unique_name` makes begin with a prefix for a while."""
        before, self._prefix = self._prefix, prefix
        try:
            yield
        finally:
            self._prefix = before

    def add(
        self,
        name: str,
        layer: Layer,
        inputs: Sequence[str] = (),
        weights: Mapping[str, Any] | None = None,
    ) -> str:
        """Add a node and return its name.

        Raises:
            GraphError: The name is taken, an input does not exist, or the number of inputs is
                not what the layer reads.
        """
        if name in self._nodes:
            raise GraphError(f"there is a node {name!r} already; choose another name.")
        self.check_node(name, layer, tuple(inputs))
        self._put(name, Node(layer, tuple(inputs), freeze(weights or {})))
        return name

    def insert_after(
        self,
        name: str,
        new: str,
        layer: Layer,
        weights: Mapping[str, Any] | None = None,
        *,
        exclude: Collection[str] = (),
    ) -> str:
        """Add a node `new` between `name` and its consumers, and return the new node's name.

        Args:
            name: The node that becomes the only input of the new one.
            new: The name of the new node.
            layer: Its layer.
            weights: Its weights; None for a graph of shapes or a layer that has none.
            exclude: Consumers that continue to consume `name`.

        Raises:
            GraphError: If the new name is taken, `name` does not exist, or the layer does not take
                exactly one input.
        """
        self.add(new, layer, [name], weights)
        self.redirect(name, new, exclude=[new, *exclude])
        return new

    def remove(self, name: str) -> None:
        """Remove a node that no other node reads.

        Raises:
            GraphError: Another node reads it, or it is the output; the message names them.
        """
        readers = self.consumers(name)
        if readers:
            raise GraphError(
                f"node {name!r} is read by {', '.join(readers)}; redirect them to another node"
                " first."
            )
        if name == self._output:
            raise GraphError(f"node {name!r} is the output; choose another output first.")
        del self._nodes[name]
        self._forget()

    def redirect(self, old: str, new: str, *, exclude: Collection[str] = ()) -> None:
        """Let every reader of `old` read `new` instead, except the nodes in `but`.

        The output moves along.
        """
        self._require(new)
        if new in self.consumers(old) and new not in exclude:
            raise GraphError(
                f"node {new!r} reads {old!r}, and cannot read itself: add it to exclude."
            )
        for reader in self.consumers(old):
            if reader not in exclude:
                node = self._nodes[reader]
                inputs = tuple(new if i == old else i for i in node.inputs)
                self._nodes[reader] = replace(node, inputs=inputs)
        if self._output == old:
            self._output = new
        self._forget()

    def set_layer(
        self,
        name: str,
        layer: Layer,
        weights: Mapping[str, Any] | None = None,
        inputs: Sequence[str] | None = None,
    ) -> None:
        """Replace the layer of a node and, if given, its weights and its inputs."""
        node = self[name]
        inputs = node.inputs if inputs is None else tuple(inputs)
        self.check_node(name, layer, inputs)
        self._put(name, Node(layer, inputs, node.weights if weights is None else freeze(weights)))

    def set_inputs(self, name: str, inputs: Sequence[str]) -> None:
        """Let a node read other nodes."""
        node = self[name]
        self.check_node(name, node.layer, tuple(inputs))
        self._put(name, replace(node, inputs=tuple(inputs)))

    def set_weights(self, name: str, weights: Mapping[str, Any]) -> None:
        """Give a node new weights.

        Raises:
            GraphError: The names or the shapes are not those that the layer needs.
        """
        expected = dict(self.weight_shapes(name))
        given = {key: np.shape(value) for key, value in weights.items()}
        if given != expected:
            raise GraphError(
                f"node {name!r} ({type(self[name].layer).__name__}) needs weights of shapes"
                f" {expected}, not {given}."
            )
        self._nodes[name] = replace(self[name], weights=freeze(weights))  # shapes stay valid

    def remove_unused(self) -> tuple[str, ...]:
        """Remove every node that the output does not depend on, and return their names."""
        needed, pending = {self.output}, [self.output]
        while pending:  # cheaper than `ancestors`, which finds those of every node
            for source in self._nodes[pending.pop()].inputs:
                if source not in needed:
                    needed.add(source)
                    pending.append(source)
        unused = tuple(n for n in self._nodes if n not in needed)
        for name in unused:
            del self._nodes[name]
        self._forget()
        return unused

    def check_node(self, name: str, layer: Layer, inputs: tuple[str, ...]) -> None:
        """Raise unless a node could be this layer and read these nodes.

        Raises:
            GraphError: It is no layer, a node does not exist or is the node itself, or their
                number is not what the layer reads.
        """
        if type(layer) not in LAYERS:
            raise GraphError(f"node {name!r}: {layer!r} is not a layer of lemonade_tf.")
        for source in inputs:
            if source not in self._nodes:
                raise GraphError(
                    f"node {name!r} reads {source}, which does not exist. {self._nearest(source)}"
                )
            if source == name:
                raise GraphError(f"node {name!r} cannot read itself.")
        count, kind = layer.num_inputs, type(layer).__name__
        if count is None and len(inputs) < 2:
            raise GraphError(f"node {name!r}: {kind} reads two or more inputs, not {len(inputs)}.")
        if count is not None and len(inputs) != count:
            raise GraphError(f"node {name!r}: {kind} reads {count} inputs, not {len(inputs)}.")

    # --- Helpers -------------------------------------------------------------------------------

    def _put(self, name: str, node: Node) -> None:
        old = self._nodes.get(name)
        self._nodes[name] = node
        if old is None or old.inputs != node.inputs:
            self._forget()
        elif old.layer != node.layer:
            self._cache = {}

    def _forget(self) -> None:
        self._wiring, self._cache = {}, {}

    def _require(self, name: str) -> None:
        if name not in self._nodes:
            raise GraphError(f"there is no node {name!r}. {self._nearest(name)}")

    def _nearest(self, name: str) -> str:
        near = difflib.get_close_matches(name, list(self._nodes), n=3, cutoff=0.3)
        if near:
            return f"Near to it: {', '.join(near)}."
        return f"It has {len(self)} others." if len(self) else "The graph is empty."
