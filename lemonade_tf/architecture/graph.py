"""A network as a graph of layers, with or without weights.

A `Graph` maps names to nodes. A node is a frozen value: a layer, the names of its inputs, and its
weights. Consumers, order and shapes are computed on demand and cached until the next edit. Copying
copies one dictionary, so a child costs microseconds; weights are read-only arrays that parent and
child share until one of them sets new ones.

A graph either has weights (every node that needs them has them) or consists of shapes alone (no
node has any). Proposals are made on shapes; only accepted children get weights.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from lemonade_tf.architecture import wiring
from lemonade_tf.architecture.layer import Layer, Shape
from lemonade_tf.architecture.layer_lists import listed
from lemonade_tf.architecture.node import GraphError, Node, Origin, freeze
from lemonade_tf.architecture.opaque import Outputs
from lemonade_tf.architecture.summary import network_summary

MAX_NODES_IN_REPR = 40


class Graph:
    """A directed acyclic graph of layers.

    It has one input and one output. The graph of an imported model may have several Inputs, and
    several outputs, which are then the inputs of an Outputs node.

    The methods `add`, `insert_after`, `remove`, `redirect`, `set_layer`, `set_inputs` and
    `set_weights` edit it. Each checks before it edits, so a refused edit leaves the graph
    unchanged.
    """

    def __init__(self) -> None:
        self.origin: Any = None  # the model that the graph was converted from, for keras_bridge
        self._nodes: dict[str, Node] = {}
        self._output: str | None = None
        self._wiring: dict[str, Any] = {}  # facts that depend on names and inputs only
        self._cache: dict[Hashable, Any] = {}  # facts that depend on the layers, too
        self._prefix = ""  # of the names that unique_name returns

    @classmethod
    def from_nodes(cls, nodes: Mapping[str, Node], output: str) -> Graph:
        """Return a graph of these nodes in this order, unchecked; see `check`."""
        graph = cls()
        graph._nodes = dict(nodes)
        graph._output = output
        return graph

    # --- Queries -------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Node:
        return self._found(self._nodes, name)

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __repr__(self) -> str:
        return self.summary(max_nodes=MAX_NODES_IN_REPR)

    def summary(self, *, max_nodes: int | None = None) -> str:
        """Return the network as a table: a line per node with its shape, parameters and inputs.

        A broken graph is shown in insertion order, without shapes, and with what is wrong with it.

        Args:
            max_nodes: Leaves out nodes in the middle of larger graphs; None shows all.
        """
        try:
            shapes, names, problem = self.shapes(), self.topological_order(), ""
        except (KeyError, ValueError) as error:
            shapes, names, problem = {}, tuple(self._nodes), f"; broken: {error}"
        return network_summary(self._nodes, names, shapes, problem, max_nodes)

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield (name, node) in insertion order."""
        return iter(self._nodes.items())

    @property
    def input(self) -> str:
        """The name of the only Input node."""
        names = self.inputs
        if len(names) != 1:
            raise GraphError(f"the graph has {len(names)} Inputs: {list(names)}; expected one.")
        return names[0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the Input nodes."""
        if "inputs" not in self._cache:
            self._cache["inputs"] = tuple(
                n for n, node in self._nodes.items() if node.layer.num_inputs == 0
            )
        return self._cache["inputs"]

    @property
    def output(self) -> str:
        """The name of the node whose output is that of the network."""
        if self._output is None:
            raise GraphError("the graph has no output; set graph.output to the name of a layer.")
        return self._output

    @output.setter
    def output(self, name: str) -> None:
        _ = self[name]
        self._output = name
        self._cache = {}

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the nodes whose outputs are those of the network."""
        if "outputs" not in self._cache:
            node = self[self.output]
            is_collection = isinstance(node.layer, Outputs)
            self._cache["outputs"] = node.inputs if is_collection else (self.output,)
        return self._cache["outputs"]

    @property
    def has_weights(self) -> bool:
        """Whether the nodes have weights."""
        return any(node.weights for node in self._nodes.values())

    def consumers(self, name: str) -> tuple[str, ...]:
        """Return the names of the nodes that consume `name`, each once, in insertion order."""
        return self._found(self.all_consumers(), name)

    def all_consumers(self) -> Mapping[str, tuple[str, ...]]:
        """Return the consumers of every node by its name."""
        if "consumers" not in self._wiring:
            self._wiring["consumers"] = wiring.consumers_of(self._nodes)
        return self._wiring["consumers"]

    def topological_order(self) -> tuple[str, ...]:
        """Return all names so that every node comes after its inputs.

        Raises:
            GraphError: If the nodes form a cycle; the message names the nodes on it.
        """
        if "order" not in self._wiring:
            self._wiring["order"] = wiring.ordered(self._nodes, self.all_consumers())
        return self._wiring["order"]

    def shapes(self) -> Mapping[str, Shape]:
        """Return the shape of every node's output, without the batch.

        Raises:
            GraphError: If the inputs of a layer do not fit it; the message names the node.
        """
        if "shapes" not in self._cache:
            self._cache["shapes"] = wiring.shapes_of(self._nodes, self.topological_order())
        return self._cache["shapes"]

    def input_shapes(self, name: str) -> tuple[Shape, ...]:
        """Return the shapes of a node's inputs."""
        shapes = self.shapes()
        return tuple(shapes[i] for i in self[name].inputs)

    def weight_shapes(self, name: str) -> Mapping[str, Shape]:
        """Return the shape of each weight that a node needs, whether or not it has them."""
        return self[name].layer.weight_shapes(*self.input_shapes(name))

    def calls(self) -> Mapping[Hashable, tuple[str, ...]]:
        """Return the nodes of each layer that is called more than once, by their common key."""
        if self.origin is None:
            return {}
        if "calls" not in self._wiring:
            self._wiring["calls"] = wiring.calls_of(self._nodes)
        return self._wiring["calls"]

    def ancestors(self, name: str) -> frozenset[str]:
        """Return the names of all nodes on which `name` depends, without `name`."""
        if "ancestors" not in self._wiring:
            self._wiring["ancestors"] = wiring.ancestors_of(self._nodes, self.topological_order())
        return self._found(self._wiring["ancestors"], name)

    def unused(self) -> tuple[str, ...]:
        """Return the names of all nodes on which the output does not depend."""
        _ = self[self.output]
        needed = wiring.needed_for(self._nodes, self.output)
        return tuple(n for n in self._nodes if n not in needed)

    def cached(self, key: Hashable, compute: Callable[[Graph], Any]) -> Any:
        """Return compute(self), computed once between two edits of the structure.

        For facts that other modules derive from the layers and their inputs and need often. Setting
        weights keeps them.
        """
        if key not in self._cache:
            self._cache[key] = compute(self)
        return self._cache[key]

    # --- Edits ---------------------------------------------------------------------------------

    def copy(self, *, weights: bool = True) -> Graph:
        """Return a graph with the same nodes, to edit; weights are shared or left out."""
        other = Graph()
        if weights:
            other._nodes = dict(self._nodes)
        else:
            other._nodes = {
                n: Node(node.layer, node.inputs, {}, node.origin) if node.weights else node
                for n, node in self._nodes.items()
            }
        other.origin = self.origin
        other._output = self._output
        other._wiring = dict(self._wiring)
        other._cache = dict(self._cache)
        return other

    def unique_name(self, stem: str) -> str:
        """Return the first of stem_1, stem_2, ... that is not taken."""
        stem = self._prefix + stem
        number = 1
        while f"{stem}_{number}" in self._nodes:
            number += 1
        return f"{stem}_{number}"

    @contextmanager
    def naming(self, prefix: str) -> Iterator[None]:
        """Let `unique_name` put a prefix before its names, within a with statement."""
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
        origin: Origin | None = None,
    ) -> str:
        """Add a node and return its name.

        Raises:
            GraphError: If the name is taken, an input does not exist, or the layer takes a
                different number of inputs.
        """
        if name in self._nodes:
            raise GraphError(f"there is already a layer {name!r}; choose a different name.")
        self.check_node(name, layer, tuple(inputs))
        self._put(name, Node(layer, tuple(inputs), freeze(weights or {}), origin))
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
        """Remove a node that has no consumers.

        Raises:
            GraphError: If the node has consumers, which the message names, or is the output.
        """
        consumers = self.consumers(name)
        if consumers:
            raise GraphError(
                f"layer {name!r} is an input of {self.listed(consumers)}; redirect them to another"
                " layer first."
            )
        if name == self._output:
            raise GraphError(f"layer {name!r} is the output; choose a different output first.")
        del self._nodes[name]
        self._invalidate()

    def redirect(self, old: str, new: str, *, exclude: Collection[str] = ()) -> None:
        """Let every consumer of `old` consume `new` instead, except those in `exclude`.

        If `old` is the output, `new` becomes the output.
        """
        _ = self[new]
        if new in self.consumers(old) and new not in exclude:
            raise GraphError(
                f"layer {new!r} consumes {old!r} and cannot be its own input; add it to exclude."
            )
        for consumer in self.consumers(old):
            if consumer not in exclude:
                node = self._nodes[consumer]
                inputs = tuple(new if i == old else i for i in node.inputs)
                self._nodes[consumer] = replace(node, inputs=inputs)
        if self._output == old:
            self._output = new
        self._invalidate()

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
        new = node.weights if weights is None else freeze(weights)
        self._put(name, Node(layer, inputs, new, node.origin))

    def set_inputs(self, name: str, inputs: Sequence[str]) -> None:
        """Replace the inputs of a node."""
        node = self[name]
        self.check_node(name, node.layer, tuple(inputs))
        self._put(name, replace(node, inputs=tuple(inputs)))

    def set_weights(self, name: str, weights: Mapping[str, Any]) -> None:
        """Replace the weights of a node.

        Raises:
            GraphError: If the layer needs weights of other names or shapes.
        """
        expected = dict(self.weight_shapes(name))
        given = {key: np.shape(value) for key, value in weights.items()}
        if given != expected:
            raise GraphError(
                f"layer {name!r} ({type(self[name].layer).__name__}): the weights have the shapes"
                f" {given}; expected {expected}."
            )
        self._nodes[name] = replace(self[name], weights=freeze(weights))  # shapes stay valid

    def remove_unused(self) -> tuple[str, ...]:
        """Remove every node on which the output does not depend, and return their names."""
        unused = self.unused()
        for name in unused:
            del self._nodes[name]
        self._invalidate()
        return unused

    def check_node(self, name: str, layer: Layer, inputs: tuple[str, ...]) -> None:
        """Raise unless a node could have this layer and these inputs.

        Raises:
            GraphError: If the layer is not a Layer, an input does not exist or is the node itself,
                or the layer takes a different number of inputs.
        """
        wiring.check_node(self._nodes, name, layer, inputs)

    def listed(self, names: Iterable[str]) -> str:
        """Return the names of nodes for a message: of many, some of each kind and their number."""
        return listed((name, self._nodes[name].layer) for name in names)

    def _put(self, name: str, node: Node) -> None:
        old = self._nodes.get(name)
        self._nodes[name] = node
        if old is None or old.inputs != node.inputs:
            self._invalidate()
        elif old.layer != node.layer:
            self._cache = {}

    def _invalidate(self) -> None:
        self._wiring, self._cache = {}, {}

    def _found(self, values: Mapping[str, Any], name: str) -> Any:
        """Return the value of a node, by its name."""
        if name not in values:
            hint = wiring.suggestion(self._nodes, name)
            raise GraphError(f"there is no layer {name!r}. {hint}")
        return values[name]
