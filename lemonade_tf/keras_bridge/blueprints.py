"""How to make a layer or an operation of a model again: its class and its own configuration.

A new layer has the regularizers, constraints, initializers, seed, data type and whatever else a
subclass adds to its configuration. Objects that a configuration can only name (functions, and
regularizers and the like of unregistered classes) are kept themselves. If the configuration of a
foreign class makes another layer or none, the arguments are used that Keras recorded when the layer
was made, or that it keeps.
"""

from __future__ import annotations

import copy
import inspect
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import GraphError
from lemonade_tf.keras_bridge.layer_checks import check_same

_LIVE = (
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    FunctionType,
    BuiltinFunctionType,
)
_STATE = (keras.layers.Layer, keras.Variable, keras.optimizers.Optimizer)


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
        source: Refers to the layer itself, so that users can name it by the object.
    """

    name: str
    kind: type
    config: Mapping[str, Any] | None
    make: Callable[[dict[str, Any]], Any]
    trainable: tuple[bool, ...] = ()
    trainable_weights: tuple[bool, ...] = ()
    source: Callable[[], Any] = field(default=lambda: None, compare=False, repr=False)

    def build(self, **changes: Any) -> Any:
        """Return a new layer or operation, not built and without weights.

        Args:
            changes: Entries of the configuration that an edit changed.
        """
        made = self.make({**_copied(self.config or {}), **changes})
        name = changes.get("name", self.name)
        if made.name != name:  # a configuration may lack it
            made.name = name
        return made

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
        config, make = _checked(operation, lambda: (_configuration(operation), _constructor(kind)))
    except Exception as error:  # the code of foreign classes may raise anything
        try:
            config, make = _checked(operation, lambda: (_first_arguments(operation), _called(kind)))
        except Exception:
            raise GraphError(
                f"layer {operation.name!r} ({kind.__name__}) cannot be made again from its"
                f" configuration: {_reason(error)}. Give the class a get_config() that returns the"
                " arguments of its constructor."
            ) from None
    source = weakref.ref(operation)
    return Blueprint(operation.name, kind, config, make, trainable, weights, source)


def _checked(
    layer: keras.layers.Layer, describe: Callable[[], tuple[dict[str, Any], Callable]]
) -> tuple[dict[str, Any], Callable]:
    """Return a configuration and what makes a layer from it, checked unless the class is Keras's.

    Raises:
        Exception: If it makes another layer; whatever the code of the class raises.
    """
    config, make = describe()
    if not _stock_class(type(layer)).__module__.startswith("keras."):  # it may be incomplete
        check_same(layer, make(_copied(config)))
    return config, make


def _first_arguments(layer: keras.layers.Layer) -> dict[str, Any]:
    """Return the arguments that a layer was made with, with its name and data type of today.

    Keras records them if they are plain values. Otherwise its attributes of the same names are.

    Raises:
        ValueError: If neither Keras nor the layer keeps them.
    """
    record = getattr(layer, "_auto_config", None)
    parameters = list(inspect.signature(type(layer).__init__).parameters.values())[1:]
    takes_all = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [each.name for each in parameters if each.kind not in variable]
    own = {"name": layer.name, "dtype": layer.dtype_policy}
    known = {key: own[key] for key in own if takes_all or key in names}
    if record is not None:
        return {**record.config, **known}
    kept = {name: _attribute(layer, name) for name in names}
    for name, value in kept.items():
        if any(isinstance(each, _STATE) for each in keras.tree.flatten(value)):
            raise ValueError(f"the argument {name!r} has weights, which two layers would share")
    return {**kept, **known}


def _attribute(layer: keras.layers.Layer, argument: str) -> Any:
    """Return the attribute that keeps an argument of the constructor; a class rather than a layer.

    Raises:
        ValueError: If there is none.
    """
    for name in (f"_{argument}_cls", f"_{argument}", argument):
        if hasattr(layer, name):
            return getattr(layer, name)
    raise ValueError(f"the argument {argument!r} is not kept")


def _reason(error: Exception) -> str:
    """Return the first line of an error; of one in the call of a layer, that of its cause."""
    text = str(error).rpartition("Error encountered:")[2].strip()  # Keras's words around it
    return text.partition("\n")[0].removesuffix("\x1b[0m").rstrip(".") or type(error).__name__


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
    return _called(kind) if issubclass(kind, keras.layers.Lambda) else kind.from_config


def _called(kind: type) -> Callable[[dict[str, Any]], Any]:
    return lambda config: kind(**config)


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
