"""Functional models: what their layers define, whatever the class of the model.

A class may have a constructor and a configuration of its own; the record of the calls of its layers
is the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from lemonade_tf.architecture import GraphError


def as_functional(model: Any) -> keras.Model:
    """Return the functional form of a model that is defined by its layers.

    Raises:
        GraphError: If it is not.
    """
    if not isinstance(model, keras.Model):
        raise _not_functional(model)
    if _has_custom_call(model):
        raise GraphError(
            f"the model {model.name!r} is a {type(model).__name__} with a custom call; expected a"
            " model that is defined by its layers."
        )
    if isinstance(model, keras.Sequential):
        functional = model._functional if model.built else None
    else:
        functional = model if hasattr(model, "_nodes_by_depth") else None
    if functional is None:
        raise _not_functional(model)
    return functional


def _not_functional(model: Any) -> GraphError:
    return GraphError(
        f"{model!r} is not supported; expected a functional Keras model, or a Sequential one that"
        " is built."
    )


def computes_what_its_layers_do(layer: Any) -> bool:
    """Return whether a layer is a model that its own layers define."""
    try:
        return as_functional(layer) is not None
    except GraphError:
        return False


def _has_custom_call(model: keras.Model) -> bool:
    """Return whether a subclass overrides what the model computes."""
    return any(
        "call" in vars(kind) and not kind.__module__.startswith("keras.")
        for kind in type(model).__mro__
    )


def tensor_calls(model: keras.Model) -> Iterator[Any]:
    """Yield the calls in a functional model, each after those that compute its inputs.

    A call has `operation`, `arguments` and `outputs`.
    """
    place = {id(operation): i for i, operation in enumerate(model.operations)}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        calls = model._nodes_by_depth[depth]
        yield from sorted(
            (call for call in calls if not call.is_input and not _is_input(call, model)),
            key=lambda call: place[id(call.operation)],
        )


def _is_input(call: Any, model: keras.Model) -> bool:
    return any(output is tensor for output in call.outputs for tensor in model.inputs)
