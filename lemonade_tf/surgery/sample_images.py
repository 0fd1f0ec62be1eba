"""Images for a surgery, in the forms that users have them, and whether they fit the model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import BatchNormalization
from lemonade_tf.inheritance.activations import (
    Images,
    call_layer,
    in_order,
    input_values,
    take_images,
    walk,
)
from lemonade_tf.keras_bridge import to_keras
from lemonade_tf.surgery.several_inputs import by_input
from lemonade_tf.surgery.warning import warn_user

MAX_IMAGES = 1024
_EXPECTED = (
    "an array (n, height, width, channels), a list of images, or an iterable of images or batches,"
    " such as a tf.data.Dataset; labels, as in (x, y), are ignored"
)
_SCALE = 30.0  # standard deviations of images and of batch statistics differ by this factor


def open_shape(model: keras.Model, images: Any) -> tuple[int, ...] | None:
    """Return the shape of an image, if the input of a model leaves it open; None if unknown.

    Nothing is taken from generators, which cannot be started again.
    """
    inputs = getattr(model, "inputs", None) or ()
    if len(inputs) != 1 or None not in inputs[0].shape[1:]:
        return None
    rank = len(inputs[0].shape) - 1
    if _has_labels(images, rank):
        images = images[0]
    if not hasattr(images, "shape"):
        if isinstance(images, Mapping | str | bytes) or not isinstance(images, Iterable):
            return None
        again = iter(images)
        images = None if again is images else next(again, None)
        images = _without_labels(images)
    shape = _shape(images)
    return shape[-rank:] if rank <= len(shape) <= rank + 1 else None


def images_for(graph: Graph, images: Any, *, maximum: int | None) -> Images:
    """Return images as the input of a network; for several inputs, by their names.

    Args:
        graph: The network.
        images: As for `sample_images`; for several inputs, as for `by_input`.
        maximum: The maximum number of images; None for all.

    Raises:
        ValueError: As for `sample_images` and `by_input`.
    """
    shapes = {name: graph.shapes()[name] for name in graph.inputs}
    if len(shapes) == 1:
        ((name, shape),) = shapes.items()
        if isinstance(images, tuple | list) and images and isinstance(images[0], Mapping):
            images = images[0]  # (x, y)
        if isinstance(images, Mapping):
            images = by_input(images, graph, shapes, maximum)[name]
        return sample_images(images, shape, maximum=maximum)
    parts = by_input(images, graph, shapes, maximum)
    numbers = {name: len(part) for name, part in parts.items()}
    if len(set(numbers.values())) != 1:
        found = ", ".join(f"{number} for {name!r}" for name, number in numbers.items())
        raise ValueError(f"images has {found}; expected the same number for each input.")
    return {
        name: sample_images(part, shapes[name], maximum=maximum) for name, part in parts.items()
    }


def sample_images(images: Any, shape: tuple[int, ...], *, maximum: int | None) -> np.ndarray:
    """Return images as a float32 array.

    Of an array, evenly distributed images are taken, since neighbors may belong to one class; of an
    iterable, the first ones.

    Args:
        images: What the user gave: an array, a list, an iterable of images or batches with or
            without labels, or (x, y).
        shape: (height, width, channels) of the input of the model.
        maximum: The maximum number of images; None for all.

    Raises:
        ValueError: If these are no images of this shape, or if a pixel is not a finite number.
    """
    if isinstance(images, str | bytes | os.PathLike):
        raise ValueError(
            f"images is {images!r}; expected {_EXPECTED}. Read files with"
            " keras.utils.image_dataset_from_directory."
        )
    if _has_labels(images, len(shape)):
        images = images[0]
    is_array = isinstance(images, np.ndarray) or not isinstance(images, Iterable)
    if not is_array and not (isinstance(images, list) and _are_images(images, len(shape))):
        images = _collected(images, shape, maximum)
    array = _as_numbers(images)
    if array.ndim != len(shape) + 1 or len(array) == 0 or array.shape[1:] != tuple(shape):
        expected = ", ".join(map(str, ("n", *shape)))
        raise ValueError(
            f"images have shape {array.shape}; expected ({expected}), the input of the model."
        )
    number = len(array) if maximum is None else min(len(array), maximum)
    chosen = np.linspace(0, len(array) - 1, number).round().astype(int)
    array = np.asarray(array[chosen], np.float32)
    if not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0]
        position = ", ".join(map(str, (chosen[place[0]], *place[1:])))
        raise ValueError(
            f"images[{position}] is {array[tuple(place)]}; expected finite numbers. Leave this"
            " image out."
        )
    return array


def _has_labels(images: Any, rank: int) -> bool:
    """Return whether images are (x, y) or (x, y, weights), as a tuple or a list."""
    if not isinstance(images, tuple | list) or len(images) not in (2, 3):
        return False
    shapes = [_shape(part) for part in images]
    if len(shapes[0]) != rank + 1:
        return False
    return isinstance(images, tuple) or any(each[1:] != shapes[0][1:] for each in shapes)


def _are_images(images: list[Any], rank: int) -> bool:
    return len(shapes := {_shape(image) for image in images}) == 1 and len(shapes.pop()) == rank


def _shape(value: Any) -> tuple[int, ...]:
    try:
        return tuple(np.shape(value))
    except ValueError:  # of arrays of different shapes
        return ()


def _as_numbers(images: Any) -> np.ndarray:
    try:
        array = np.asarray(images)
        if array.dtype == object:
            array = np.stack([np.asarray(image, np.float32) for image in array])
        return array if np.issubdtype(array.dtype, np.number) else array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"images is a {type(images).__name__} that is no array of numbers ({error}); expected"
            f" {_EXPECTED}."
        ) from None


def _collected(images: Iterable[Any], shape: tuple[int, ...], maximum: int | None) -> np.ndarray:
    """Return the first images of an iterable of images or batches, with or without labels."""
    if maximum is None and _is_infinite(images):
        raise ValueError(
            "images is an infinite dataset; expected a finite one. Take some batches, as in"
            " images.take(10)."
        )
    found: list[np.ndarray] = []
    for image in _single(images, len(shape)):
        found.append(image)
        if len(found) == maximum:
            break
    shapes = {image.shape for image in found}
    if len(shapes) != 1:
        held = f"images of the shapes {sorted(shapes)}" if shapes else "no images"
        raise ValueError(f"images is a {type(images).__name__} with {held}; expected {_EXPECTED}.")
    return np.stack(found)


def _without_labels(element: Any) -> Any:
    """Return the images of an element of an iterable: x of (x, y), the value of {name: x}."""
    images = element[0] if isinstance(element, tuple | list) and len(element) else element
    if isinstance(images, Mapping) and len(images) == 1:
        return next(iter(images.values()))
    return images


def _is_infinite(images: Any) -> bool:
    """Return whether a tf.data.Dataset repeats forever."""
    cardinality = getattr(images, "cardinality", None)
    return callable(cardinality) and int(np.asarray(cardinality())) == -1


def _single(images: Iterable[Any], rank: int) -> Iterator[np.ndarray]:
    for part in images:
        array = _as_numbers(_without_labels(part))
        if array.ndim == rank + 1:
            yield from array
        else:
            yield array


def warn_of_scale(graph: Graph, images: Images) -> None:
    """Warn if images do not fit the statistics of the first batch norm of a model.

    Args:
        graph: The network.
        images: The images.
    """
    first = next(
        (n for n in graph.topological_order() if isinstance(graph[n].layer, BatchNormalization)),
        None,
    )
    if first is None:
        return
    weights = graph[first].weights
    if not weights or ((weights["moving_mean"] == 0) & (weights["moving_variance"] == 1)).all():
        return  # never trained
    model = to_keras(graph, layer_per_node=True)
    layers = {layer.name: layer for layer in model.layers}
    before = graph[first].inputs[0]

    def compute(name: str, inputs: list[Any]) -> Any:
        return call_layer(layers[name], inputs)

    known = input_values(graph, model, take_images(images, slice(64)))
    values = np.asarray(walk(graph, known, [before], compute, keep=[before])[before])
    measured = values.reshape(-1, values.shape[-1]).std(axis=0)
    expected = np.sqrt(weights["moving_variance"])
    ratio = float(np.median(measured / np.maximum(expected, 1e-12)))
    if not 1 / _SCALE < ratio < _SCALE:
        arrays = in_order(graph, images)
        low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
        warn_user(
            f"the images, from {low:g} to {high:g}, do not have the scale of those that the model"
            f" was trained on: the inputs of {first!r} vary {ratio:.2g} times as much as its"
            " statistics. Preprocess them like the model's input."
        )
