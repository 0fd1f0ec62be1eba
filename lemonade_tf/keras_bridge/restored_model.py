"""Restoring an imported model from its graph, edited or not.

Each layer is made again from its own configuration, in which an edit changes only what it must. A
layer and the activation that was built into it become one layer again, and the layers of inner
models become models again, with the names, inputs and outputs that they had.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import keras

from lemonade_tf.architecture import Graph, Layer, Node
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.opaque import Opaque, Outputs, Part
from lemonade_tf.keras_bridge.blueprints import Blueprint
from lemonade_tf.keras_bridge.compiling import compile_again
from lemonade_tf.keras_bridge.model_scopes import Item, Scopes
from lemonade_tf.keras_bridge.origins import LayerOrigin, ModelOrigin, Models, Scope, fill
from lemonade_tf.keras_bridge.weights import assign_weights, initial_values

# (layer, name, node, tensors of its inputs) -> tensor, for a node that the model did not have
BuildNode = Callable[[Layer, str, Node, list[Any]], Any]


def restore(graph: Graph, build_node: BuildNode, *, name: str | None = None) -> keras.Model:
    """Return the model that a graph was imported from, with the edits of the graph.

    Args:
        graph: A graph with an origin.
        build_node: Builds nodes that edits added.
        name: The name of the model; None for that of the imported one.
    """
    restorer = _Restorer(graph, graph.origin, build_node)
    model, _ = restorer.model((), name)
    compiled = graph.origin[()].compiled
    if compiled:
        compile_again(model, compiled)
    return model


@dataclass
class _Open:
    """A model under construction.

    Attributes:
        tensors: The tensors of the nodes so far.
        names: The names of its layers so far.
        layers: The layers so far that were made from blueprints.
    """

    tensors: dict[str, Any] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    layers: list[tuple[keras.layers.Layer, Blueprint]] = field(default_factory=list)

    def free_name(self, *names: str) -> str:
        """Return the first of some names, or one with a number, that no layer has, and take it."""
        numbered = (f"{names[-1]}_{number}" for number in range(1, len(self.names) + 2))
        free = next(name for name in (*names, *numbered) if name not in self.names)
        self.names.add(free)
        return free


class _Restorer:
    def __init__(self, graph: Graph, models: Models, build_node: BuildNode) -> None:
        self._graph = graph
        self._models = models
        self._build_node = build_node
        self._scopes = Scopes(graph, models)
        self._activations = dict(self._built_in_activations())
        self._called: dict[Any, Any] = {}  # layers that may be called again

    # --- Models ----------------------------------------------------------------------------------

    def model(self, scope: Scope, name: str | None = None) -> tuple[keras.Model, tuple[str, ...]]:
        """Return a model and the nodes of its outputs."""
        origin, boundary = self._models[scope], self._scopes.boundaries.get(scope)
        outputs = boundary.outputs if boundary else self._graph.outputs
        sources = boundary.sources if boundary else self._input_nodes(origin)
        items, name = list(self._scopes.items(scope)), name or origin.name
        model = None
        if issubclass(origin.kind, keras.Sequential):
            model = self._sequential(origin, name, items, sources[0], outputs)
        if model is None:
            model = self._functional(origin, name, items, sources, outputs)
        return model, outputs

    def _input_nodes(self, origin: ModelOrigin) -> tuple[str, ...]:
        """Return the nodes of the inputs; some name for an input that nothing depends on."""
        nodes = {
            node.origin.blueprint.name: name
            for name, node in self._graph.items()
            if isinstance(node.layer, kinds.Input)
            and isinstance(node.origin, LayerOrigin)
            and node.origin.blueprint is not None
        }
        return tuple(nodes.get(layer.name, layer.name) for layer in origin.input_layers)

    def _functional(
        self,
        origin: ModelOrigin,
        name: str,
        items: Sequence[Item],
        sources: Sequence[str],
        outputs: Sequence[str],
    ) -> keras.Model:
        inputs = [
            self._input(layer, source).output
            for layer, source in zip(origin.input_layers, sources, strict=True)
        ]
        state = _Open(names={layer.name for layer in origin.input_layers})
        state.tensors.update(zip(sources, inputs, strict=True))
        # The names that layers have already come before those of dissolved or new ones.
        for item in items:
            self._add(item, state)
        ends = list(outputs)
        structures = (
            keras.tree.map_structure(lambda slot: inputs[slot.index], origin.inputs),
            keras.tree.map_structure(lambda slot: state.tensors[ends[slot.index]], origin.outputs),
        )
        model = _make_model(origin.kind, *structures, name)
        if not origin.trainable:
            model.trainable = False
            for layer, blueprint in state.layers:
                blueprint.restore_state(layer)
        return model

    def _input(self, blueprint: Blueprint, source: str) -> keras.layers.InputLayer:
        """Return the input of a model, with the channels that an edit gave to its source."""
        if source not in self._graph:  # nothing depends on it
            return blueprint.build()
        batch, *sizes = (blueprint.config or {})["batch_shape"]
        now = self._graph.shapes()[source]
        shape = (n if size is not None else None for size, n in zip(sizes, now, strict=True))
        return blueprint.build(batch_shape=(batch, *shape))

    def _sequential(
        self,
        origin: ModelOrigin,
        name: str,
        items: Sequence[Item],
        source: str,
        outputs: Sequence[str],
    ) -> keras.Model | None:
        """Return a Sequential model; None if its layers do not form a chain any more."""
        chain = self._chain(items, source, outputs)
        if chain is None:
            return None
        with ExitStack() as stack:
            layers, made = [self._input(origin.input_layers[0], source)], []
            for item in chain:
                if isinstance(item, tuple):
                    layers.append(self.model(item)[0])
                    continue
                node = self._graph[item]
                layer, blueprint = self._layer(item, node, _Open())
                stack.enter_context(_initial_values(layer, node))
                layers.append(layer)
                made.append((layer, blueprint, node))
            model = keras.Sequential(layers, name=name)
        for layer, blueprint, node in made:
            _finish(layer, blueprint, node)
        if not origin.trainable:
            model.trainable = False
            for layer, blueprint, _ in made:
                blueprint.restore_state(layer)
        return model

    def _chain(
        self, items: Sequence[Item], source: str, outputs: Sequence[str]
    ) -> list[Item] | None:
        """Return the layers and models of a Sequential model without built-in activations."""
        chain: list[Item] = []
        for item in items:
            if item in self._activations.values():
                source = str(item)
                continue
            if isinstance(item, tuple):
                boundary = self._scopes.boundaries[item]
                plain = self._models[item].arguments == LayerOrigin().arguments
                inputs, end = boundary.sources, boundary.outputs
            else:
                node = self._graph[item]
                if isinstance(node.layer, kinds.Input):
                    continue
                plain = _is_called_plainly(node)
                inputs, end = node.inputs, (item,)
            if not plain or inputs != (source,) or len(end) != 1:
                return None
            chain.append(item)
            source = end[0]
        return chain if outputs == (source,) or list(outputs) == [source] else None

    def _add(self, item: Item, state: _Open) -> None:
        """Add a node or an inner model to a model under construction."""
        if isinstance(item, str):
            if item not in state.tensors:  # else an input, or computed with its layer
                self._add_node(item, state)
            return
        boundary, origin = self._scopes.boundaries[item], self._models[item]
        model, outputs = self.model(item, state.free_name(origin.name))
        args, kwargs = fill(origin.arguments, [state.tensors[n] for n in boundary.sources])
        tensors = keras.tree.flatten(model(*args, **kwargs))
        state.tensors.update(zip(outputs, tensors, strict=True))

    # --- Nodes -----------------------------------------------------------------------------------

    def _add_node(self, name: str, state: _Open) -> None:
        node = self._graph[name]
        if isinstance(node.layer, Outputs):
            return
        inputs = [state.tensors[source] for source in node.inputs]
        if isinstance(node.layer, Part):
            state.tensors[name] = inputs[0][node.layer.index]
            return
        origin = node.origin
        if not _is_restorable(node):
            own = state.free_name(name)
            with _dtype_policy(self._policy(name)):
                state.tensors[name] = self._build_node(node.layer, own, node, inputs)
            return
        assert isinstance(origin, LayerOrigin)
        layer, blueprint = self._layer(name, node, state)
        if len(inputs) == origin.num_inputs:
            args, kwargs = fill(origin.arguments, inputs)
        else:
            args, kwargs = (inputs,), {}
        with _initial_values(layer, node):
            output = layer(*args, **kwargs)
        if isinstance(layer, keras.layers.Layer):
            _finish(layer, blueprint, node)
            state.layers.append((layer, blueprint))
        flat = keras.tree.flatten(output)
        state.tensors[name] = flat[0] if len(flat) == 1 else flat
        if name in self._activations:
            state.tensors[self._activations[name]] = flat[0]

    def _layer(self, name: str, node: Node, state: _Open) -> tuple[Any, Blueprint]:
        """Return the layer or operation of a node, not called yet unless it is shared."""
        origin = node.origin
        assert isinstance(origin, LayerOrigin)
        assert origin.blueprint is not None
        blueprint = origin.blueprint
        key = (origin.layer_key, node.layer, name in self._activations)
        if origin.layer_key is not None and key in self._called:
            return self._called[key], blueprint
        changes: dict[str, Any] = {}
        config = blueprint.config or {}
        own = state.free_name(blueprint.name, name)
        if own != blueprint.name:
            changes["name"] = own
        is_layer = not isinstance(node.layer, (Opaque, kinds.Activation))
        if is_layer and "activation" in config and name not in self._activations:
            changes["activation"] = "linear"
        if "groups" in config and isinstance(node.layer, kinds.DepthwiseConv2D):
            filters = self._graph.shapes()[name][-1]
            changes.update(filters=filters, groups=filters // node.layer.depth_multiplier)
        if type(node.layer) is type(origin.kind):
            layer = blueprint.build(**changes, **_edited(node.layer, origin.kind))
        else:
            layer = _converted(node.layer, {**config, **changes})
        self._called[key] = layer
        return layer, blueprint

    def _built_in_activations(self) -> Iterator[tuple[str, str]]:
        """Yield layers and the nodes of the activations that can be built into them again."""
        consumers, outputs = self._graph.all_consumers(), self._graph.outputs
        for name, node in self._graph.items():
            origin = node.origin
            if (
                isinstance(origin, LayerOrigin)
                and origin.activation_of is not None
                and node.inputs == (origin.activation_of,)
                and node.layer == origin.kind
                and consumers[origin.activation_of] == (name,)
                and origin.activation_of not in outputs
                and _is_restorable(self._graph[origin.activation_of])
            ):
                yield origin.activation_of, name

    def _policy(self, name: str) -> Any:
        """Return the dtype policy of the layer before a new node."""
        pending = list(self._graph[name].inputs)
        while pending:
            source = pending.pop()
            origin = self._graph[source].origin
            if isinstance(origin, LayerOrigin) and origin.blueprint is not None:
                config = origin.blueprint.config or {}
                if not isinstance(self._graph[source].layer, kinds.Input) and "dtype" in config:
                    return config["dtype"]
            pending.extend(self._graph[source].inputs)
        return "float32"


def _is_restorable(node: Node) -> bool:
    """Return whether a node is a layer or operation of the model, rather than a new one."""
    origin = node.origin
    if not isinstance(origin, LayerOrigin) or origin.blueprint is None:
        return False
    if isinstance(node.layer, kinds.ConvexSum):  # it becomes stock layers
        return False
    if origin.blueprint.config is not None:
        known = origin.blueprint.config
        return (
            type(node.layer) is not type(origin.kind)
            or known.keys() >= _edited(node.layer, origin.kind).keys()
        )
    return node.layer == origin.kind and len(node.inputs) == origin.num_inputs


def _is_called_plainly(node: Node) -> bool:
    """Return whether a node is a layer that is called once, with nothing but its input."""
    origin = node.origin
    return (
        isinstance(origin, LayerOrigin)
        and origin.blueprint is not None
        and origin.blueprint.config is not None
        and origin.arguments == LayerOrigin().arguments
        and origin.layer_key is None
        and _is_restorable(node)
    )


def _edited(layer: Layer, imported: Layer | None) -> dict[str, Any]:
    """Return the arguments of a layer that edits changed."""
    if imported is None or layer == imported or isinstance(layer, Opaque):
        return {}
    before = kinds.arguments(imported)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in kinds.arguments(layer).items()
        if value != before[name]
    }


def _converted(layer: Layer, config: Mapping[str, Any]) -> keras.layers.Layer:
    """Return a layer of another kind than the imported one, with what its configuration shares.

    What holds for the kernel of a convolution holds for both kernels of a separable one.
    """
    kind = getattr(keras.layers, type(layer).__name__)
    new = kind(**kinds.arguments(layer)).get_config()
    for key, value in config.items():
        first, _, rest = key.partition("_")
        halves = (f"depthwise_{rest}", f"pointwise_{rest}") if first == "kernel" else ()
        for name in (key, *halves):
            if name in new and name not in kinds.arguments(layer):
                new[name] = value
    return kind.from_config(new)


# --- Helpers -------------------------------------------------------------------------------------


@contextmanager
def _dtype_policy(policy: Any) -> Iterator[None]:
    """Let layers have a dtype policy, given as a policy or its configuration."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(keras.dtype_policies.get(policy))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def _initial_values(layer: Any, node: Node) -> Iterator[None]:
    """Initialize a layer that is built in this context with the weights of its node."""
    is_known = isinstance(layer, keras.layers.Layer) and not layer.built
    if not is_known or isinstance(node.layer, (Opaque, kinds.Normalization)):
        yield
        return
    with initial_values(layer, node.weights):
        yield


def _finish(layer: keras.layers.Layer, blueprint: Blueprint, node: Node) -> None:
    """Give a built layer the weights of its node, and freeze what was frozen."""
    assign_weights(layer, node)
    blueprint.restore_state(layer)


def _make_model(kind: type, inputs: Any, outputs: Any, name: str) -> keras.Model:
    """Return a functional model, of its class if that is made of inputs and outputs."""
    spec = inspect.getfullargspec(kind.__init__)
    if spec.args[1:4] == ["inputs", "outputs", "name"] or (spec.varargs and spec.varkw):
        with suppress(TypeError, ValueError):
            if not issubclass(kind, keras.Sequential):
                return kind(inputs, outputs, name=name)
    return keras.Model(inputs, outputs, name=name)
