"""How to make a layer or an operation of a model again: its class and its own configuration.

A new layer has the regularizers, constraints, initializers, seed, data type and whatever else a
subclass adds to its configuration. Objects that a configuration can only name (functions, and
regularizers and the like of unregistered classes) are kept themselves.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import GraphError

_LIVE = (
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    FunctionType,
    BuiltinFunctionType,
)


@dataclass(frozen=True)
class Blueprint:
    """A layer or an operation that can be made again.

    Attributes:
        name: Its name.
        kind: Its class.
        config: Its configuration; None if `make` needs none.
        make: Makes a new one from a configuration.
        trainable: Whether it and each layer within it is trainable, in the order of
            `_flatten_layers`.
        trainable_weights: Whether each of its weights is trainable.
    """

    name: str
    kind: type
    config: Mapping[str, Any] | None
    make: Callable[[dict[str, Any]], Any]
    trainable: tuple[bool, ...] = ()
    trainable_weights: tuple[bool, ...] = ()

    def build(self, **changes: Any) -> Any:
        """Return a new layer or operation, not built and without weights.

        Args:
            changes: Entries of the configuration that an edit changed.
        """
        return self.make({**_copied(self.config or {}), **changes})

    def restore_state(self, layer: keras.layers.Layer) -> None:
        """Let the weights of a built layer be trainable or not, as they were."""
        _set_trainable(layer, self.trainable)
        if len(layer.weights) == len(self.trainable_weights):
            for variable, flag in zip(layer.weights, self.trainable_weights, strict=True):
                if variable.trainable != flag:
                    variable.trainable = flag


def blueprint_of(operation: Any) -> Blueprint:
    """Return the blueprint of a layer or an operation.

    Raises:
        GraphError: If it is a layer that cannot be made again from its configuration.
    """
    if not isinstance(operation, keras.layers.Layer):
        # An operation has no state besides the record of its calls.
        template = _without_calls(operation)
        return Blueprint(
            operation.name, type(operation), None, lambda config: _without_calls(template)
        )
    layers = operation._flatten_layers()
    trainable = tuple(layer.trainable for layer in layers)
    weights = tuple(variable.trainable for variable in operation.weights)
    kind = _stock_class(type(operation))
    try:
        config = _configuration(operation)
        make = _constructor(kind)
        if not kind.__module__.startswith("keras."):  # its configuration may be incomplete
            _check_same(operation, make(_copied(config)))
    except Exception as error:  # the code of foreign classes may raise anything
        raise GraphError(
            f"layer {operation.name!r} ({kind.__name__}) cannot be made again from its"
            f" configuration: {_reason(error)}. Give the class a get_config() that returns the"
            " arguments of its constructor."
        ) from None
    return Blueprint(operation.name, kind, config, make, trainable, weights)


def _reason(error: Exception) -> str:
    """Return the first line of an error; of one in the call of a layer, that of its cause."""
    text = str(error).rpartition("Error encountered:")[2].strip()  # Keras's words around it
    return text.partition("\n")[0].removesuffix("\x1b[0m").rstrip(".") or type(error).__name__


def _check_same(layer: keras.layers.Layer, made: keras.layers.Layer) -> None:
    """Check that a layer that was made from a configuration has the same weights and outputs.

    Raises:
        ValueError: If not, or whatever its call raises.
    """
    if not layer._inbound_nodes:
        return
    node = layer._inbound_nodes[0]
    given, outputs = node.arguments, node.output_tensors

    def detached(value: Any) -> Any:
        is_tensor = isinstance(value, keras.KerasTensor)
        return keras.KerasTensor(value.shape, value.dtype) if is_tensor else value

    args = keras.tree.map_structure(detached, given.args) or ()
    kwargs = keras.tree.map_structure(detached, given.kwargs) or {}
    found = [x for x in keras.tree.flatten(made(*args, **kwargs)) if x is not None]
    pairs = {"weights": (made.weights, layer.weights), "outputs": (found, outputs)}
    for name, both in pairs.items():
        actual, expected = ([tuple(each.shape) for each in some] for some in both)
        if actual != expected:
            raise ValueError(f"its {name} have the shapes {actual} instead of {expected}")


def _stock_class(kind: type) -> type:
    """Return a class; for a faster one of this package, the one of Keras that it replaces."""
    if not kind.__module__.startswith("lemonade_tf.") or kind.__base__ is keras.layers.Layer:
        return kind
    return next(base for base in kind.__mro__ if base.__module__.startswith("keras."))


def _configuration(layer: keras.layers.Layer) -> dict[str, Any]:
    if isinstance(layer, keras.layers.Lambda):
        # Its own configuration has the code of a function without the names that the code uses.
        config = {name: getattr(layer, name) for name in ("function", "mask", "arguments")}
        base = {"name": layer.name, "trainable": layer.trainable, "dtype": layer.dtype_policy}
        return {**base, **config, "output_shape": layer._output_shape}
    with warnings.catch_warnings():  # functions that Keras cannot save are kept themselves
        warnings.filterwarnings("ignore", ".*lambda", UserWarning)
        config = layer.get_config()
    for key in config:
        value = getattr(layer, key, None)
        if isinstance(value, _LIVE):
            config[key] = value
    return config


def _constructor(kind: type) -> Callable[[dict[str, Any]], Any]:
    if issubclass(kind, keras.layers.Lambda):
        return lambda config: kind(**config)
    return kind.from_config


def _copied(value: Any) -> Any:
    """Return a copy of the dictionaries and lists in a configuration."""
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_copied(part) for part in value]
    return copy.copy(value) if isinstance(value, np.ndarray) else value


def _without_calls(operation: Any) -> Any:
    """Return a copy of an operation that has not been called."""
    new = object.__new__(type(operation))
    new.__dict__.update(operation.__dict__)
    new._inbound_nodes, new._outbound_nodes = [], []
    return new


def _set_trainable(layer: keras.layers.Layer, flags: tuple[bool, ...]) -> None:
    """Freeze a layer and the layers within it as they were."""
    layers = list(layer._flatten_layers())
    if len(layers) != len(flags):  # an edit changed what it consists of
        layers, flags = layers[:1], flags[:1]
    # From the outermost: freezing a layer freezes those within it.
    for each, flag in zip(layers, flags, strict=False):
        if each.trainable != flag or len(layers) > 1:
            each.trainable = flag
