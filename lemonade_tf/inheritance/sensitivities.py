"""Measure how much an error of each layer changes the output of a network.

The output of a layer is perturbed by the outputs for other images, with random signs per channel:
such an error has the variance of the layer's output and its spatial correlation. The sensitivity is
the relative change of the network's output per relative error of the layer's.

A single walk serves all layers. The values of a node are those without an error, followed by those
with an error in the first layer, in the second and so on, up to the last layer before the node; an
error in any later layer leaves them as they are without one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.inheritance.activations import Images, call_layer, count_images, input_values, walk

_ERROR = 0.2  # relative to the standard deviation of the layer's output


def sensitivities(
    graph: Graph,
    model: keras.Model,
    images: Images,
    names: Collection[str],
    outputs: Collection[str],
    *,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the relative variance of the output per relative variance of an error of each layer.

    Args:
        graph: The network.
        model: A model of the network.
        images: Preprocessed like its input, (n, height, width, channels); some dozens.
        names: The layers.
        outputs: The nodes whose changes count, such as the logits.
        rng: Draws the errors.
    """
    layers = {layer.name: layer for layer in model.layers}
    number, places = count_images(images), {}

    def compute(name: str, inputs: list[Any]) -> Any:
        longest = max((len(value) for value in inputs), default=0)
        same = [_extended(np.asarray(value), number, longest) for value in inputs]
        values = call_layer(layers[name], same)
        if name not in names:
            return values
        places[name] = len(places) + 1
        values = _extended(np.asarray(values), number, places[name] * number)
        return np.concatenate([values, _perturbed(values[:number], rng)])

    known = input_values(graph, model, images)
    found = walk(graph, known, until=outputs, compute=compute, keep=outputs)
    changes = [_relative_changes(np.asarray(found[n]), number, len(places)) for n in outputs]
    return {name: float(np.mean([c[place - 1] for c in changes])) for name, place in places.items()}


def _relative_changes(values: np.ndarray, number: int, num_places: int) -> list[float]:
    """Return the relative variance of an output per relative variance of each error."""
    base = values[:number].astype(np.float64)
    scale = max(float(((base - base.mean(0)) ** 2).mean()), 1e-30) * _ERROR**2
    parts = (values[(p + 1) * number : (p + 2) * number] for p in range(num_places))
    return [float(((part - base) ** 2).mean()) / scale if len(part) else 0.0 for part in parts]


def _extended(values: np.ndarray, number: int, length: int) -> np.ndarray:
    """Return values followed by repetitions of those without an error, up to a length."""
    missing = (length - len(values)) // number
    return np.concatenate([values, *[values[:number]] * missing]) if missing else values


def _perturbed(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    other = np.roll(values, 1, axis=0) - values.mean(axis=tuple(range(values.ndim - 1)))
    signs = rng.choice(np.array([-1, 1], values.dtype), values.shape[-1])
    return values + _ERROR * signs * other
