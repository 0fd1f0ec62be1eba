"""Which nodes of an imported graph make up each of the models within the model.

The models that a model uses as layers are found again in the edited graph if their nodes still have
the inputs and outputs that the model has. If an edit connected the inside of a model with the
outside, as a skip does that starts within it, that model is dissolved: its layers become layers of
the model around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lemonade_tf.architecture import Graph
from lemonade_tf.keras_bridge.origins import LayerOrigin, Models, Scope

Item = str | Scope  # a node, or a model within the model


@dataclass(frozen=True)
class Boundary:
    """Where the nodes of an inner model meet those around it.

    Attributes:
        sources: The node that each of its inputs is.
        outputs: The node that each of its outputs is.
    """

    sources: tuple[str, ...]
    outputs: tuple[str, ...]


class Scopes:
    """The models of a graph and the nodes that they consist of.

    Attributes:
        boundaries: Those of the inner models that are not dissolved.
    """

    def __init__(self, graph: Graph, models: Models) -> None:
        self._graph = graph
        self._scopes: dict[str, Scope] = {}
        self._consumers = graph.all_consumers()
        for name in graph.topological_order():
            self._scopes[name] = self._scope(name)
        self.boundaries: dict[Scope, Boundary] = {}
        for scope in models:
            boundary = self._boundary(scope, models) if scope else None
            if boundary is not None:
                self.boundaries[scope] = boundary

    def items(self, scope: Scope) -> Iterator[Item]:
        """Yield the nodes and the inner models of a model, each after what it depends on."""
        item_of = {
            name: item for name in self._graph if (item := self._item(name, scope)) is not None
        }
        order = dict.fromkeys(item_of[n] for n in self._graph.topological_order() if n in item_of)
        waiting: dict[Item, set[Item]] = {item: set() for item in order}
        for name, item in item_of.items():
            for source in self._graph[name].inputs:
                if source in item_of and item_of[source] != item:
                    waiting[item].add(item_of[source])
        done: set[Item] = set()
        while waiting:
            item = next(item for item, before in waiting.items() if before <= done)
            done.add(item)
            del waiting[item]
            yield item

    def _item(self, name: str, scope: Scope) -> Item | None:
        """Return what a node belongs to in a model: itself, or a model within it."""
        own = self._scopes[name]
        if own[: len(scope)] != scope:
            return None
        inner = (own[:n] for n in range(len(scope) + 1, len(own) + 1))
        return next((s for s in inner if s in self.boundaries), name)

    def _scope(self, name: str) -> Scope:
        """Return the models around a node; a new one is inside if all its neighbors are."""
        origin = self._graph[name].origin
        if isinstance(origin, LayerOrigin):
            return origin.scope
        neighbors = [self._scopes[i] for i in self._graph[name].inputs]
        pending, seen = list(self._consumers[name]), set()
        while pending:
            consumer = pending.pop()
            origin = self._graph[consumer].origin
            if isinstance(origin, LayerOrigin):
                neighbors.append(origin.scope)
            elif consumer not in seen:
                seen.add(consumer)
                pending.extend(self._consumers[consumer])
        if name in self._graph.outputs:
            neighbors.append(())
        return _common(neighbors)

    def _boundary(self, scope: Scope, models: Models) -> Boundary | None:
        """Return the boundary of a model; None if its nodes do not make up the model any more."""
        members = {n for n, own in self._scopes.items() if own[: len(scope)] == scope}
        num_inputs = len(models[scope].input_layers)
        sources: dict[int, str] = {}
        for name in members:
            for slot, source in enumerate(self._graph[name].inputs):
                if source in members:
                    continue
                index = self._entry(name, slot, scope) if num_inputs > 1 else 0
                if index is None or sources.setdefault(index, source) != source:
                    return None
                if members & self._graph.ancestors(source):
                    return None
        if len(sources) != num_inputs:
            return None
        exits = {
            name
            for name in members
            if name in self._graph.outputs or not members.issuperset(self._consumers[name])
        }
        outputs = models[scope].output_nodes
        if len(outputs) == 1:
            outputs = tuple(exits)
        if (len(outputs) == 1 or members.issuperset(outputs)) and exits <= set(outputs):
            return (
                Boundary(tuple(sources[i] for i in range(num_inputs)), outputs)
                if (len(outputs) == len(models[scope].output_nodes))
                else None
            )
        return None

    def _entry(self, name: str, slot: int, scope: Scope) -> int | None:
        """Return which input of a model an input of a node is."""
        node = self._graph[name]
        if not isinstance(node.origin, LayerOrigin) or len(node.inputs) != node.origin.num_inputs:
            return None
        return node.origin.entries.get(slot, {}).get(scope)


def _common(scopes: Sequence[Scope]) -> Scope:
    """Return the innermost model around all of these."""
    first = scopes[0]
    length = min(
        next(
            (i for i, (a, b) in enumerate(zip(first, s, strict=False)) if a != b),
            min(len(first), len(s)),
        )
        for s in scopes
    )
    return first[:length]
