"""Images for a surgery, in the forms that users have them, and whether they fit the model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import BatchNormalization
from lemonade_tf.inheritance.activations import input_values, walk
from lemonade_tf.keras_bridge import to_keras

MAX_IMAGES = 1024
_EXPECTED = (
    "an array (n, height, width, channels), a list of images, or an iterable of images or batches,"
    " such as a tf.data.Dataset; labels, as in (x, y), are ignored"
)
_SCALE = 30.0  # standard deviations of images and of batch statistics differ by this factor


def open_shape(model: keras.Model, images: np.ndarray) -> tuple[int, ...] | None:
    """Return the shape of the images, if the input of a model leaves it open."""
    inputs = getattr(model, "inputs", None) or ()
    is_open = len(inputs) == 1 and None in inputs[0].shape[1:]
    return images.shape[1:] if is_open else None


def images_for(graph: Graph, images: Any, *, maximum: int | None) -> np.ndarray:
    """Return images as the input of a network.

    Args:
        graph: The network.
        images: As for `sample_images`.
        maximum: The maximum number of images; None for all.

    Raises:
        ValueError: If the network has several inputs, or as for `sample_images`.
    """
    inputs = graph.inputs
    if len(inputs) != 1:
        raise ValueError(
            f"images are given, and the model has {len(inputs)} inputs, {', '.join(inputs)};"
            " expected a model with one. Leave the images out."
        )
    return sample_images(images, graph.shapes()[graph.input], maximum=maximum)


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
    if isinstance(images, tuple) and len(images) == 2 and np.ndim(images[0]) == len(shape) + 1:
        images = images[0]  # (x, y)
    is_array = isinstance(images, np.ndarray) or not isinstance(images, Iterable)
    if not is_array and not (isinstance(images, list) and _are_alike(images)):
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


def _are_alike(images: list[Any]) -> bool:
    return len({np.shape(image) for image in images}) == 1


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


def _single(images: Iterable[Any], rank: int) -> Iterator[np.ndarray]:
    for part in images:
        array = _as_numbers(part[0] if isinstance(part, tuple | list) else part)
        if array.ndim == rank + 1:
            yield from array
        else:
            yield array


def warn_of_scale(graph: Graph, images: np.ndarray) -> None:
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
        return layers[name](inputs[0] if len(inputs) == 1 else inputs, training=False)

    known = input_values(graph, model, images[:64])
    values = np.asarray(walk(graph, known, [before], compute, keep=[before])[before])
    measured = values.reshape(-1, values.shape[-1]).std(axis=0)
    expected = np.sqrt(weights["moving_variance"])
    ratio = float(np.median(measured / np.maximum(expected, 1e-12)))
    if not 1 / _SCALE < ratio < _SCALE:
        low, high = float(images.min()), float(images.max())
        warnings.warn(
            f"the images, from {low:g} to {high:g}, do not have the scale of those that the model"
            f" was trained on: the inputs of {first!r} vary {ratio:.2g} times as much as its"
            " statistics. Preprocess them like the model's input.",
            stacklevel=4,
        )
