"""Images for a model with several inputs: which of them belong to which input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Shape


def by_input(
    images: Any, graph: Graph, shapes: Mapping[str, Shape], maximum: int | None
) -> dict[str, Any]:
    """Return what belongs to each input.

    Args:
        images: A dictionary with an array for each input, by the names of the inputs or the keys
            that the model has for them; a list or tuple of arrays in their order; (x, y) with such
            an x; or an iterable of single or batched x or (x, y), such as a tf.data.Dataset.
        graph: The network.
        shapes: The shape of an image for each input.
        maximum: The number of images after which an iterable is not read on; None for all.

    Raises:
        ValueError: If the images are anything else.
    """
    keys = _keys(graph)
    found = _assigned(_without_labels(images), keys)
    if found is not None:
        return found
    collected: dict[str, list[np.ndarray]] = {name: [] for name in shapes}
    if isinstance(images, Iterable) and not isinstance(images, str | Mapping | np.ndarray):
        for element in images:
            found = _assigned(_without_labels(element), keys)
            if found is None:
                break
            for name, value in found.items():
                array = np.asarray(value)
                collected[name].extend(array if array.ndim > len(shapes[name]) else [array])
            if maximum is not None and min(map(len, collected.values())) >= maximum:
                return {name: values[:maximum] for name, values in collected.items()}
    if found is None:
        names = ", ".join(map(repr, shapes))
        given = f" with {', '.join(map(repr, images))}" if isinstance(images, Mapping) else ""
        raise ValueError(
            f"images is a {type(images).__name__}{given}; expected images for each input, in a"
            f" dictionary with {names} or a list in this order, or an iterable of these."
        )
    return collected


def _keys(graph: Graph) -> dict[str, set[str]]:
    """Return the names that users know each input by."""
    keys = {name: {name} for name in graph.inputs}
    origin = graph.origin[()] if graph.origin else None
    if origin is not None and isinstance(origin.inputs, Mapping):
        layers = [layer.name for layer in origin.input_layers]
        for key, slot in origin.inputs.items():
            index = getattr(slot, "index", None)
            if index is not None and layers[index] in keys:
                keys[layers[index]].add(key)
    return keys


def _without_labels(value: Any) -> Any:
    """Return x of (x, y) and (x, y, weights) where x is a dictionary, list or tuple."""
    has_labels = isinstance(value, tuple | list) and len(value) in (2, 3)
    return value[0] if has_labels and isinstance(value[0], Mapping | tuple | list) else value


def _assigned(value: Any, keys: Mapping[str, set[str]]) -> dict[str, Any] | None:
    """Return the part for each input; None if there is not exactly one for each."""
    if isinstance(value, Mapping):
        named = {name: [k for k in own if k in value] for name, own in keys.items()}
        if all(named.values()):
            return {name: value[some[0]] for name, some in named.items()}
        return None
    are_arrays = isinstance(value, tuple | list) and all(hasattr(part, "shape") for part in value)
    return dict(zip(keys, value, strict=True)) if are_arrays and len(value) == len(keys) else None
