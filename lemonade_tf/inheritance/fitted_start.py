"""Fit the layers after removed or pruned ones to their outputs in the parent, before any training.

An approximate operator deprives layers of inputs. On some training images, each of these layers
is fitted in topological order (`layer_fits`) to reproduce the output that it has in the parent. Its
inputs are those that it now has in the child, so a later layer compensates for the remaining error
of an earlier one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import BatchNormalization, SeparableConv2D
from lemonade_tf.architecture.shared import shared_part
from lemonade_tf.inheritance.activations import Images, call_layer, input_values, walk
from lemonade_tf.inheritance.layer_fits import fit_layer
from lemonade_tf.inheritance.window_samples import Positions, extract_windows, sample_positions
from lemonade_tf.operators.change import Change, FitOutputs
from lemonade_tf.operators.kernels import full_kernel


def fit_outputs(
    change: Change,
    parent: Graph,
    parent_model: keras.Model,
    model: keras.Model,
    images: Images,
    *,
    rng: np.random.Generator,
) -> tuple[str, ...]:
    """Carry out the repairs of a change that fit outputs, in a model.

    A layer is skipped if the parent does not have it (the same name may belong to another layer,
    which was removed), if its output has another resolution there, or if it is called more than
    once.

    Args:
        change: The change of `parent`.
        parent: The parent.
        parent_model: A model of the parent, with or without its softmax.
        model: The model of `change.graph`.
        images: Raw pixels, (n, height, width, channels).
        rng: Draws the positions of the images to fit on.

    Returns:
        The names of the fitted layers.
    """
    fits = [r.node for r in change.fit_repairs if _is_comparable(r, change, parent)]
    if fits:
        known = input_values(parent, parent_model, images)
        count = len(next(iter(known.values())))
        positions = {n: sample_positions(change.graph, n, count, rng) for n in fits}
        # Walk the parent first; the child starts from the last nodes that both networks share.
        boundary = shared_part(parent, change.graph, changing=change.affected).boundary
        desired, shared = _desired_outputs(parent, parent_model, known, positions, boundary)
        fitter = _Fitter(change, parent, model, positions, desired)
        walk(change.graph, shared, until=fits, compute=fitter.compute)
    return tuple(fits)


def _is_comparable(repair: FitOutputs, change: Change, parent: Graph) -> bool:
    """Return whether the output of a node corresponds to the one that it has in the parent."""
    name, graph = repair.node, change.graph
    if name not in parent or name in change.new_nodes:
        return False
    if any(name in calls for calls in graph.calls().values()):
        return False
    before, now = parent.shapes()[name], graph.shapes()[name]
    return before[:-1] == now[:-1] and (before == now or name in change.sources)


def _desired_outputs(
    parent: Graph,
    model: keras.Model,
    known: Mapping[str, Any],
    positions: Mapping[str, Positions],
    boundary: Collection[str],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the outputs (rows, channels) of nodes in the parent, and all outputs of `boundary`."""
    layers = {layer.name: layer for layer in model.layers}
    desired = {}

    def compute(name: str, inputs: list[Any]) -> Any:
        values = call_layer(layers[name], inputs)
        if name in positions:
            desired[name] = np.asarray(values)[positions[name]]
        return values

    return desired, walk(parent, known, until=positions, compute=compute, keep=boundary)


class _Fitter:
    """Computes the nodes of the child, and fits layers along the way.

    Args:
        change: The change of `parent`.
        parent: The parent.
        model: The model of the child.
        positions: The positions to fit on, by layer.
        desired: The desired outputs at these positions, by layer.
    """

    def __init__(
        self,
        change: Change,
        parent: Graph,
        model: keras.Model,
        positions: Mapping[str, Positions],
        desired: Mapping[str, np.ndarray],
    ) -> None:
        self._change, self._parent = change, parent
        self._layers = {layer.name: layer for layer in model.layers}
        self._positions, self._desired = positions, desired

    def compute(self, name: str, inputs: list[Any]) -> Any:
        """Compute a node, after fitting it if it has desired outputs."""
        if name in self._desired:
            self._fit(name, np.asarray(inputs[0]))
        return call_layer(self._layers[name], inputs)

    def _fit(self, name: str, values: np.ndarray) -> None:
        graph, layer = self._change.graph, self._layers[name]
        node = graph[name]
        # Filter j of the child is filter source[j] of the parent; -1 marks a new filter, which
        # has no desired output.
        source = self._change.sources.get(name, np.arange(graph.shapes()[name][-1]))
        filters = np.flatnonzero(source >= 0)
        if not len(filters):
            return
        variables = {v.name: v for v in layer.weights}
        normalizations = _following_normalizations(graph, name)
        new, missing_mean = fit_layer(
            node.layer,
            {key: np.asarray(v.value) for key, v in variables.items()},
            self._replaced_kernel(name),
            extract_windows(node.layer, values, self._positions[name]),
            self._desired[name][:, source[filters]],
            filters,
            free_mean=bool(normalizations),
        )
        for key, value in new.items():
            variables[key].assign(value)
        # A mean that is missing after the layer is subtracted from the moving mean instead.
        for normalization in normalizations:
            moving_mean = self._layers[normalization].moving_mean
            mean = np.array(np.asarray(moving_mean.value))
            mean[filters] -= missing_mean
            moving_mean.assign(mean)

    def _replaced_kernel(self, name: str) -> np.ndarray | None:
        """Return the full kernel that a separable convolution replaces, if it has its shape."""
        before, now = self._parent[name], self._change.graph[name]
        same_kind = type(before.layer) is type(now.layer)
        if same_kind or not isinstance(now.layer, SeparableConv2D):
            return None
        kernel, graph = full_kernel(before.layer, before.weights), self._change.graph
        channels = (graph.input_shapes(name)[0][-1], graph.shapes()[name][-1])
        return kernel if kernel.shape[2:] == channels else None


def _following_normalizations(graph: Graph, name: str) -> tuple[str, ...]:
    """Return the consumers of a node if all are batch normalizations, which absorb its mean."""
    consumers = graph.consumers(name)
    absorb = all(isinstance(graph[c].layer, BatchNormalization) for c in consumers)
    return consumers if absorb else ()
