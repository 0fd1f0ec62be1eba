"""Predict what removing channels costs the layers that consume them, if these are then refitted.

Let the rows of x be the inputs of a layer, G their second moments about the mean and K its kernel.
Without the columns c of x, the best kernel for the remaining columns, by ridge regression towards
the present output x K, has the loss

    trace(K_c^T (H_cc)^-1 K_c),    H = (G + r I)^-1

and is K - H[:, c] (H_cc)^-1 K_c (Hassibi and Stork, 1993, "Optimal brain surgeon", for the output
of a layer instead of the loss of a network). Afterwards H[:, c] (H_cc)^-1 H[c, :] is subtracted
from H, and the losses of further channels follow: of two equal channels, only the second one costs
anything. Losses need K through M = K K^T only, which is updated in the same way.

A loss is relative to the variance of the output, so that layers are comparable. A channel that
several layers consume costs the sum of their losses.

Windows are decomposed into channels: if they have many values, or contain a channel more than once,
its values at different positions count as uncorrelated. Without images, G is diagonal: variances as
the batch norms before tell them. Then H is diagonal, too: the loss of a channel is its variance
times the squared norm of its weights, and does not depend on the other channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture.channel_edits import ABSORBERS
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.channel_runs import ChannelGroups
from lemonade_tf.architecture.graph import Graph
from lemonade_tf.inheritance.activations import Images, call_layer, input_values, walk
from lemonade_tf.inheritance.least_squares import RIDGES
from lemonade_tf.inheritance.window_samples import extract_windows, sample_positions
from lemonade_tf.operators.initial import output_statistics
from lemonade_tf.operators.kernels import full_kernel

_MAX_COLUMNS = 1152  # 9 x 128: larger windows are decomposed into channels
_MAX_ROWS = 8192

Channel = tuple[int, int]  # group, number within the group


@dataclass
class LayerLoss:
    """The loss of a layer whose input loses channels.

    Attributes:
        places: The channels of its input and their numbers here.
        inverse: H, (columns, columns), with the columns of a channel in a row.
        products: M, (columns, columns).
        variance: Of the output, summed over the filters.
    """

    places: Mapping[Channel, int]
    inverse: np.ndarray
    products: np.ndarray
    variance: float

    def losses(self) -> np.ndarray:
        """Return the loss of removing each channel, relative to the variance of the output."""
        number = len(self.places)
        every = np.arange(number)
        shape = (number, len(self.inverse) // number) * 2
        inverse, products = (
            m.reshape(shape)[every, :, every] for m in (self.inverse, self.products)
        )
        if shape[1] == 1:
            found = products[:, 0, 0] / np.maximum(inverse[:, 0, 0], 1e-30)
        else:
            removed = ~inverse.any(axis=(1, 2))
            inverse[removed] = np.eye(shape[1])
            found = np.trace(np.linalg.solve(inverse, products), axis1=1, axis2=2)
        return np.maximum(found, 0) / max(self.variance, 1e-30)

    def remove(self, channels: list[Channel]) -> None:
        """Remove channels from the input, and refit the kernel."""
        width = len(self.inverse) // len(self.places)
        first = np.array([self.places[channel] for channel in channels]) * width
        columns = (first[:, None] + np.arange(width)).ravel()
        block = self.inverse[np.ix_(columns, columns)]
        factor = np.linalg.solve(block.astype(np.float64), self.inverse[columns]).T
        factor = factor.astype(np.float32)
        half = self.products[columns] - 0.5 * self.products[np.ix_(columns, columns)] @ factor.T
        step = factor @ half
        self.products -= step
        self.products -= step.T
        self.inverse -= factor @ self.inverse[columns]
        for matrix in (self.inverse, self.products):
            matrix[columns] = 0
            matrix[:, columns] = 0


@dataclass
class IndependentLoss:
    """The loss of a layer whose input loses channels that are uncorrelated.

    Attributes:
        places: The channels of its input and their numbers here.
        own: The loss of each channel, (channels,).
        variance: Of the output, summed over the filters.
    """

    places: Mapping[Channel, int]
    own: np.ndarray
    variance: float

    def losses(self) -> np.ndarray:
        """Return the loss of removing each channel, relative to the variance of the output."""
        return self.own / max(self.variance, 1e-30)

    def remove(self, channels: list[Channel]) -> None:
        """Remove channels from the input."""
        self.own[[self.places[channel] for channel in channels]] = 0


def measured_losses(
    graph: Graph, model: keras.Model, images: Images, *, rng: np.random.Generator
) -> dict[str, LayerLoss]:
    """Return the losses of all convolutions and dense layers, measured on images.

    Args:
        graph: The network.
        model: A model of the network.
        images: Preprocessed like its input, (n, height, width, channels).
        rng: Draws the positions that are measured.
    """
    layers = {layer.name: layer for layer in model.layers}
    groups, found = channel_groups(graph), {}

    def compute(name: str, inputs: list[Any]) -> Any:
        if name in names:
            found[name] = _measured(graph, groups, name, np.asarray(inputs[0]), rng)
        return call_layer(layers[name], inputs)

    names = _changeable(graph, groups)
    walk(graph, input_values(graph, model, images), until=names, compute=compute)
    return found


def estimated_losses(graph: Graph) -> dict[str, IndependentLoss]:
    """Return the losses of all convolutions and dense layers, estimated from batch norms."""
    groups, found = channel_groups(graph), {}
    for name in _changeable(graph, groups):
        channels = _input_channels(graph, groups, name)
        _, variance = output_statistics(graph, graph[name].inputs[0])
        if len(variance) != len(channels):  # Flatten repeats the channels of its input
            variance = np.ones(len(channels))
        places = _places(channels)
        number = np.array([places[channel] for channel in channels])
        _, first = np.unique(number, return_index=True)
        variance = np.maximum(variance[first].astype(np.float64), 1e-12)
        kernel = full_kernel(graph[name].layer, graph[name].weights)
        squares = np.einsum("hwio,hwio->i", kernel, kernel).astype(np.float64)
        weights = np.bincount(number, squares, len(places))
        own = weights * (variance + _ridge(variance))
        found[name] = IndependentLoss(places, own, float(weights @ variance))
    return found


def _ridge(variances: np.ndarray) -> float:
    return RIDGES[0] * float(np.mean(variances)) + 1e-12


def _changeable(graph: Graph, groups: ChannelGroups) -> tuple[str, ...]:
    """Return the layers whose input has channels that can be removed, in topological order."""
    return tuple(
        name
        for name in graph.topological_order()
        if isinstance(graph[name].layer, ABSORBERS)
        and any(group not in groups.fixed for group in groups.groups_of(graph[name].inputs[0]))
    )


def _input_channels(graph: Graph, groups: ChannelGroups, name: str) -> list[Channel]:
    """Return which channel each channel of a layer's input is."""
    return [
        (run.group, number)
        for run in groups.runs[graph[name].inputs[0]]
        for number in range(groups.sizes[run.group])
        for _ in range(run.repeat)
    ]


def _places(channels: list[Channel]) -> dict[Channel, int]:
    return {channel: number for number, channel in enumerate(dict.fromkeys(channels))}


def _measured(
    graph: Graph,
    groups: ChannelGroups,
    name: str,
    values: np.ndarray,
    rng: np.random.Generator,
) -> LayerLoss:
    node, channels = graph[name], _input_channels(graph, groups, name)
    places = _places(channels)
    positions = sample_positions(graph, name, len(values), rng)
    if len(positions[0]) > _MAX_ROWS:
        chosen = np.linspace(0, len(positions[0]) - 1, _MAX_ROWS).astype(int)
        positions = tuple(axis[chosen] for axis in positions)
    kernel = full_kernel(node.layer, node.weights)
    window = kernel.shape[0] * kernel.shape[1]
    if len(places) == len(channels) and window * len(places) <= _MAX_COLUMNS:
        rows = extract_windows(node.layer, values, positions)
        rows = rows.reshape(len(rows), window, -1).transpose(0, 2, 1).reshape(len(rows), -1)
        kernel = kernel.reshape(window, len(places), -1).transpose(1, 0, 2)
        kernel = kernel.reshape(rows.shape[1], -1)
        return _layer_loss(places, _covariance(rows), kernel @ kernel.T)
    repeats, rest = divmod(len(channels), len(places))
    if values.ndim == 2 and not rest and channels == list(places) * repeats:  # after Flatten
        rows = values.reshape(-1, len(places))
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MAX_ROWS)).astype(int)]
    else:
        first = [channels.index(channel) for channel in places]
        pixels = values.reshape(-1, len(channels))
        chosen = np.linspace(0, len(pixels) - 1, min(len(pixels), _MAX_ROWS)).astype(int)
        rows = pixels[chosen][:, first]
    return _layer_loss(places, _covariance(rows), _channel_products(graph, name, channels, places))


def _covariance(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(0)
    return (rows.T @ rows).astype(np.float64) / len(rows)


def _channel_products(
    graph: Graph, name: str, channels: list[Channel], places: Mapping[Channel, int]
) -> np.ndarray:
    """Return M (channels, channels), summed over the positions of the window."""
    node = graph[name]
    kernel = full_kernel(node.layer, node.weights).transpose(2, 0, 1, 3)
    kernel = kernel.reshape(len(channels), -1).astype(np.float32)
    if len(places) == len(channels):
        return kernel @ kernel.T
    # The first occurrence of each channel, the second, ...: where there is none, zeros.
    products, seen = np.zeros((len(places),) * 2, np.float32), dict.fromkeys(places, 0)
    occurrences: dict[int, list[tuple[int, int]]] = {}
    for at, channel in enumerate(channels):
        occurrences.setdefault(seen[channel], []).append((places[channel], at))
        seen[channel] += 1
    for pairs in occurrences.values():
        to, at = map(list, zip(*pairs, strict=True))
        products[np.ix_(to, to)] += kernel[at] @ kernel[at].T
    return products


def _layer_loss(places: Mapping[Channel, int], gram: np.ndarray, products: np.ndarray) -> LayerLoss:
    variance = float(np.sum(gram * products))
    inverse = np.linalg.inv(gram + _ridge(np.diag(gram)) * np.eye(len(gram)))
    return LayerLoss(places, inverse.astype(np.float32), products.astype(np.float32), variance)
