"""What is read off a functional model and its calls, without converting layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from lemonade_tf.architecture.layers import Shape
from lemonade_tf.keras_bridge.blueprints import blueprint_of
from lemonade_tf.keras_bridge.compiling import compile_arguments
from lemonade_tf.keras_bridge.functional import (
    as_functional,
    computes_what_its_layers_do,
    tensor_calls,
)
from lemonade_tf.keras_bridge.origins import ModelOrigin, Slot


def all_names(model: keras.Model) -> Iterator[str]:
    """Yield the name of each layer and operation, those within inner models included."""
    for operation in model.operations:
        if computes_what_its_layers_do(operation):
            yield from all_names(as_functional(operation))
        else:
            yield operation.name


def all_calls(model: keras.Model) -> Iterator[int]:
    """Yield the id of the operation of each call, those within inner models included."""
    for call in tensor_calls(model):
        yield id(call.operation)
        if computes_what_its_layers_do(call.operation):
            yield from all_calls(as_functional(call.operation))


def with_slots(arguments: Any) -> Any:
    """Return the (args, kwargs) of a call with a Slot for each tensor, in their order.

    Keras adds mask=None to the calls of some layers.
    """
    is_absent = "mask" in arguments.kwargs and arguments.kwargs["mask"] is None
    kwargs = {k: v for k, v in arguments.kwargs.items() if not (k == "mask" and is_absent)}
    return _slots((arguments.args, kwargs))


def _slots(structure: Any) -> Any:
    count = iter(range(10**9))
    return keras.tree.map_structure(
        lambda value: Slot(next(count)) if isinstance(value, keras.KerasTensor) else value,
        structure,
    )


def is_compatible(shape: Shape, recorded: Sequence[int | None]) -> bool:
    """Return whether a shape is the recorded one, where that is known."""
    return len(shape) == len(recorded) and all(
        known in (None, size) for size, known in zip(shape, recorded, strict=True)
    )


def model_origin(
    model: keras.Model, functional: keras.Model, outputs: Sequence[str], arguments: Any
) -> ModelOrigin:
    """Return what a model was.

    Args:
        model: The model.
        functional: Its functional form.
        outputs: The nodes of its outputs.
        arguments: The arguments of its call, for an inner model.
    """
    layers = [tensor._keras_history.operation for tensor in functional.inputs]
    return ModelOrigin(
        name=model.name,
        kind=type(model),
        input_layers=tuple(blueprint_of(layer) for layer in layers),
        inputs=_slots(functional.input),
        outputs=_slots(functional.output),
        output_nodes=tuple(outputs),
        trainable=model.trainable,
        arguments=arguments or ((Slot(0),), {}),
        compiled=compile_arguments(model),
    )
