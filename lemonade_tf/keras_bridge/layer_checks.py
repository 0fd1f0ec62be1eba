"""Whether a layer that was made again is the same as the original.

A configuration may be incomplete, in ways that its class does not report: arguments that it leaves
out have their default values then. So the weights and outputs of both are compared.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

_SIZE = 32  # of open sizes


def check_same(layer: keras.layers.Layer, made: keras.layers.Layer) -> None:
    """Check that a new layer has the same weights and computes the same as one of a model.

    Args:
        layer: The layer of the model.
        made: The new layer. It is called, and gets the weights of the other one.

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
    found = _flat(made(*args, **kwargs))
    pairs = {"weights": (made.weights, layer.weights), "outputs": (found, outputs)}
    for name, both in pairs.items():
        actual, expected = ([tuple(each.shape) for each in some] for some in both)
        if actual != expected:
            raise ValueError(f"its {name} have the shapes {actual} instead of {expected}")
    made.set_weights(layer.get_weights())
    state = [(each, each.numpy()) for each in layer.variables]
    try:
        same = _computes_the_same(layer, made, args, kwargs)
    finally:  # of counters and seeds, which a call changes
        for variable, value in state:
            variable.assign(value)
    if not same:
        raise ValueError("its outputs have other values")


def _computes_the_same(
    layer: keras.layers.Layer, made: keras.layers.Layer, args: Any, kwargs: dict[str, Any]
) -> bool:
    """Return whether two layers have equal outputs on random inputs; also if one cannot tell."""
    rng = np.random.default_rng(0)

    def random_value(value: Any) -> Any:
        if not isinstance(value, keras.KerasTensor):
            return value
        first, *rest = value.shape
        shape = (first or 1, *(size or _SIZE for size in rest))
        is_real = "float" in value.dtype
        values = rng.normal(size=shape) if is_real else np.zeros(shape)
        return keras.ops.convert_to_tensor(values, value.dtype)

    given: Any = keras.tree.map_structure(random_value, args)
    options: Any = keras.tree.map_structure(random_value, kwargs)
    if layer._call_has_training_arg:
        options = {**options, "training": False}

    def outputs(each: keras.layers.Layer) -> list[np.ndarray]:
        found = _flat(each(*given, **options))
        return [np.asarray(keras.ops.convert_to_numpy(value)) for value in found]

    try:
        expected = outputs(layer)
    except Exception:  # it takes other values only
        return True
    if _are_equal(expected, outputs(made)):
        return True
    return not _are_equal(expected, outputs(layer))  # its outputs are random


def _are_equal(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return all(map(_equal_values, some, others))


def _equal_values(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def _flat(outputs: Any) -> list[Any]:
    return [each for each in keras.tree.flatten(outputs) if each is not None]
