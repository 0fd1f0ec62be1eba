"""A better start for what an approximate operator changed, before any training.

What was removed or pruned is missing to the layers that read it. On some training images, each of
them is fitted in turn, inputs first, to put out what it does in the parent (`least_squares`): on
what it reads now, so that a later one makes up for what an earlier one could not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import BatchNormalization, Dense, SeparableConv2D, arguments
from lemonade_tf.architecture.shared import shared_part
from lemonade_tf.inheritance.activations import walk
from lemonade_tf.inheritance.least_squares import fitted
from lemonade_tf.operators import Change, FitOutputs
from lemonade_tf.operators.kernels import full_kernel

_ROWS_A_COLUMN = 10  # of the windows that a fit sees, for each number in one of them
_FEWEST_ROWS = 4096
_MOST_VALUES = 2**26  # of all windows that a fit sees: 256 MB in float32


def fit_outputs(
    change: Change,
    parent: Graph,
    parent_model: keras.Model,
    model: keras.Model,
    images: np.ndarray,
    *,
    rng: np.random.Generator,
) -> tuple[str, ...]:
    """Carry out the repairs of a change that fit outputs, in a model.

    Args:
        change: The change, made on `parent`. Left out are layers that the parent does not have
            (the same name may be that of another, which was removed), or whose output has another
            resolution there.
        parent: The parent.
        parent_model: A model of the parent, with or without its softmax.
        model: The model of `change.graph`.
        images: (n, height, width, channels), raw pixels.
        rng: Draws which places of the images are looked at.

    Returns:
        The names of the layers that were fitted.
    """
    fits = [r.node for r in change.fits if _comparable(r, change, parent)]
    if fits:
        known = {parent.input: keras.ops.cast(images, "float32")}
        places = {n: _places(change.graph, n, len(images), rng) for n in fits}
        ends = shared_part(parent, change.graph, changing=change.affected).boundary
        wanted, shared = _outputs(parent, parent_model, known, places, ends)
        fitter = _Fitter(change, parent, model, places, wanted)
        walk(change.graph, shared, until=fits, compute=fitter.compute)
    return tuple(fits)


def _comparable(repair: FitOutputs, change: Change, parent: Graph) -> bool:
    name, graph = repair.node, change.graph
    if name not in parent or name in change.made:
        return False
    before, now = parent.shapes()[name], graph.shapes()[name]
    return before[:-1] == now[:-1] and (before == now or name in change.sources)


# --- Which windows -------------------------------------------------------------------------------


def _places(
    graph: Graph, name: str, num_images: int, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Return indices into what a node puts out, (images, ...) less the channels."""
    shape = (num_images, *graph.shapes()[name][:-1])
    total = int(np.prod(shape))
    columns = int(np.prod(_window(graph[name].layer))) * graph.input_shapes(name)[0][-1]
    most = min(max(_FEWEST_ROWS, _ROWS_A_COLUMN * columns), _MOST_VALUES // columns)
    chosen = np.sort(rng.permutation(total)[:most]) if total > most else np.arange(total)
    return np.unravel_index(chosen, shape)


def _window(layer: Any) -> tuple[int, int]:
    return (1, 1) if isinstance(layer, Dense) else layer.kernel_size


def _windows(layer: Any, values: np.ndarray, places: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return what a layer reads at places of its output: (rows, height, width, in)."""
    if isinstance(layer, Dense):
        return values[places][:, None, None]
    given = arguments(layer)
    (height, width), (down, right) = given["kernel_size"], given["strides"]
    if given["padding"] == "same":
        pads = [
            _pads(n, k, s)
            for n, k, s in zip(values.shape[1:3], (height, width), (down, right), strict=True)
        ]
        values = np.pad(values, [(0, 0), *pads, (0, 0)])
    image, y, x = places
    windows = np.empty((len(image), height, width, values.shape[-1]), values.dtype)
    for row in range(height):
        for column in range(width):
            windows[:, row, column] = values[image, y * down + row, x * right + column]
    return windows


def _pads(size: int, window: int, stride: int) -> tuple[int, int]:
    """Return how many zeros "same" padding puts before and behind."""
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    return total // 2, total - total // 2


# --- Walking -------------------------------------------------------------------------------------


def _outputs(
    parent: Graph,
    model: keras.Model,
    known: Mapping[str, Any],
    places: Mapping[str, tuple[np.ndarray, ...]],
    ends: Collection[str],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return what nodes put out in the parent at their places, (rows, channels), and the ends."""
    layers = {layer.name: layer for layer in model.layers}
    found = {}

    def compute(name: str, inputs: list[Any]) -> Any:
        values = _call(layers[name], inputs)
        if name in places:
            found[name] = np.asarray(values)[places[name]]
        return values

    return found, walk(parent, known, until=places, compute=compute, keep=ends)


def _call(layer: Any, inputs: list[Any]) -> Any:
    return layer(inputs[0] if len(inputs) == 1 else inputs, training=False)


class _Fitter:
    """Walks through the child, and fits layers on the way."""

    def __init__(
        self,
        change: Change,
        parent: Graph,
        model: keras.Model,
        places: Mapping[str, tuple[np.ndarray, ...]],
        wanted: Mapping[str, np.ndarray],
    ) -> None:
        self._change, self._parent = change, parent
        self._layers = {layer.name: layer for layer in model.layers}
        self._places, self._wanted = places, wanted

    def compute(self, name: str, inputs: list[Any]) -> Any:
        """Compute a node, which is fitted first if that is wanted."""
        if name in self._wanted:
            self._fit(name, np.asarray(inputs[0]))
        return _call(self._layers[name], inputs)

    def _fit(self, name: str, values: np.ndarray) -> None:
        graph, layer = self._change.graph, self._layers[name]
        node = graph[name]
        source = self._change.sources.get(name, np.arange(graph.shapes()[name][-1]))
        columns = np.flatnonzero(source >= 0)
        if not len(columns):
            return
        variables = {v.name: v for v in layer.weights}
        normalizations = _normalizations(graph, name)
        new, missing = fitted(
            node.layer,
            {key: np.asarray(v.value) for key, v in variables.items()},
            self._replaced(name),
            _windows(node.layer, values, self._places[name]),
            self._wanted[name][:, source[columns]],
            columns,
            free_mean=bool(normalizations),
        )
        for key, value in new.items():
            variables[key].assign(value)
        for reader in normalizations:
            mean = self._layers[reader].moving_mean
            values = np.array(np.asarray(mean.value))
            values[columns] -= missing
            mean.assign(values)

    def _replaced(self, name: str) -> np.ndarray | None:
        """Return the full kernel that a separable convolution replaces, if it is of its shape."""
        before, now = self._parent[name], self._change.graph[name]
        same_kind = type(before.layer) is type(now.layer)
        if same_kind or not isinstance(now.layer, SeparableConv2D):
            return None
        kernel, graph = full_kernel(before.layer, before.weights), self._change.graph
        channels = (graph.input_shapes(name)[0][-1], graph.shapes()[name][-1])
        return kernel if kernel.shape[2:] == channels else None


def _normalizations(graph: Graph, name: str) -> tuple[str, ...]:
    """Return the batch norms that read a node, if they alone do: its mean can be theirs."""
    readers = graph.consumers(name)
    alone = all(isinstance(graph[r].layer, BatchNormalization) for r in readers)
    return readers if alone else ()
