"""Check what users request of a surgery, before anything is computed or allocated."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import isfinite, nan
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.layer_lists import listed_by_kind, similar_names
from lemonade_tf.operators import SiteError
from lemonade_tf.operators.filters import filters_owner
from lemonade_tf.operators.prune import Importance
from lemonade_tf.surgery.warning import warn_user

MAX_FILTERS = 2**20
_BYTES = 4  # per parameter


def warn_of_weights(graph: Graph) -> None:
    """Warn of layers with weights that are NaN or infinite, which no operator can change."""
    wrong = [
        (name, node.layer)
        for name, node in graph.items()
        if not all(np.isfinite(array).all() for array in node.weights.values())
    ]
    if wrong:
        warn_user(
            f"weights are NaN or infinite: {listed_by_kind(wrong)}. These layers are carried"
            " unchanged."
        )


def layer_name(graph: Graph, layer: Any, what: str) -> str:
    """Return the name of a layer that is given by name or as a layer of the model.

    Args:
        graph: The network.
        layer: What the user gave.
        what: The operation, for the message.

    Raises:
        SiteError: If there is no such layer.
    """
    name = _name_of(graph, layer, what) if isinstance(layer, keras.layers.Layer) else layer
    if isinstance(name, str) and name in graph:
        return name
    if not isinstance(name, str):
        raise SiteError(
            f"cannot {what} {name!r}: expected the name of a layer, or a layer of the model."
        )
    similar = similar_names(name, graph.topological_order())
    hint = f"Similar names: {', '.join(similar)}." if similar else ""
    hint = hint or f"The model has {len(graph)} layers; print surgery.graph to see them."
    raise SiteError(f"cannot {what} {name!r}: there is no layer {name!r}. {hint}")


def _name_of(graph: Graph, layer: keras.layers.Layer, what: str) -> str:
    """Return the name of the node of a layer object.

    Raises:
        SiteError: If it is not of the imported model, and several layers or another kind of layer
            have its name.
    """
    alike = []
    for name, node in graph.items():
        blueprint = getattr(node.origin, "blueprint", None)
        if blueprint is not None and blueprint.source() is layer:
            return name
        if (blueprint.name if blueprint is not None else name) == layer.name:
            alike.append((name, blueprint))
    different = [name for name, found in alike if found and found.kind is not type(layer)]
    if len(alike) > 1 or different:
        raise SiteError(
            f"cannot {what} {layer.name!r}: the {type(layer).__name__} is a layer of another model,"
            f" and this one has {', '.join(repr(name) for name, _ in alike)}. Give the name."
        )
    return alike[0][0] if alike else layer.name


def filters_layer(graph: Graph, layer: Any, what: str) -> str:
    """Return the name of a layer whose filters change, as `layer_name`.

    For a depthwise convolution, which has the channels of its input, that is the layer before.
    """
    return filters_owner(graph, layer_name(graph, layer, what))


def generator(seed: Any) -> np.random.Generator:
    """Return the random generator of a seed.

    Raises:
        SiteError: If it is no integer of at least 0.
    """
    if not _is_whole(seed) or seed < 0:
        raise SiteError(f"seed is {_shown(seed)}; expected an integer of at least 0.")
    return np.random.default_rng(int(seed))


def input_shape(value: Any) -> tuple[int, ...] | None:
    """Return the size of images that users request for a model that leaves it open, or None.

    Raises:
        SiteError: If it is no tuple of positive integers.
    """
    if value is None:
        return None
    sizes = tuple(value) if isinstance(value, tuple | list) else ()
    if not sizes or not all(_is_whole(size) and size > 0 for size in sizes):
        raise SiteError(
            f"input_shape is {_shown(value)}; expected positive (height, width, channels)."
        )
    return tuple(map(int, sizes))


def number(value: Any, name: str, what: str, expected: str, *, above: float, below: float) -> float:
    """Return a finite number between two bounds, which are excluded.

    Raises:
        SiteError: If the value is anything else.
    """
    plain = isinstance(value, Real | np.number) and not isinstance(value, bool | np.bool_)
    exact = float(value) if plain else nan
    if not isfinite(exact) or not above < exact < below:
        raise SiteError(f"cannot {what}: {name} is {_shown(value)}; expected {expected}.")
    return exact


def learning_rate(value: Any, what: str) -> float | None:
    """Return a positive number, or None for a default.

    Raises:
        SiteError: If the value is anything else.
    """
    if value is None:
        return None
    return number(value, "learning_rate", what, "a positive number", above=0, below=float("inf"))


def check_filters(graph: Graph, layer: str, factor: float, what: str) -> None:
    """Refuse a layer with so many filters that nobody can mean it.

    Args:
        graph: The network.
        layer: The layer to widen.
        factor: The factor by which its filters multiply.
        what: The operation, for the message.

    Raises:
        SiteError: If there would be more than `MAX_FILTERS`.
    """
    filters = graph.shapes()[layer][-1]
    if factor * filters > MAX_FILTERS:
        raise SiteError(
            f"cannot {what}: {factor:g} times its {filters} filters are too many; expected at most"
            f" {MAX_FILTERS:,} filters."
        )


def count(value: Any, name: str, what: str) -> int:
    """Return a positive integer.

    Raises:
        SiteError: If the value is anything else.
    """
    if not _is_whole(value) or value < 1:
        raise SiteError(
            f"cannot {what}: {name} is {_shown(value)}; expected an integer of at least 1."
        )
    return int(value)


def kernel_size(value: Any, what: str) -> int:
    """Return an odd, positive integer.

    Raises:
        SiteError: If the value is anything else.
    """
    if not _is_whole(value) or value < 1 or value % 2 == 0:
        raise SiteError(
            f"cannot {what}: kernel_size is {_shown(value)}; expected an odd number, as an integer."
        )
    return int(value)


def share(value: Any, what: str) -> str:
    """Return a share of filters to remove, as the text of a fraction.

    Raises:
        SiteError: If the value is no number between 0 and 1.
    """
    expected = "the share of the filters to remove, between 0 and 1"
    exact = number(value, "share", what, expected, above=0, below=1)
    return str(Fraction(exact).limit_denominator(10_000))


def removed_channels(graph: Graph, layer: str, channels: Any, what: str) -> dict[int, np.ndarray]:
    """Return which channels stay in each group when some filters of a layer are removed.

    Args:
        graph: The network.
        layer: The layer, whose filters can change.
        channels: The indices of the filters to remove.
        what: The operation, for the message.

    Raises:
        SiteError: If `channels` are not some, but not all, of the indices.
    """
    filters = graph.shapes()[layer][-1]
    is_list = isinstance(channels, Iterable) and not isinstance(channels, Mapping | str | bytes)
    given: list[Any] = list(channels) if is_list and getattr(channels, "ndim", 1) else []
    if not given or not all(_is_whole(c) and 0 <= c < filters for c in given):
        raise SiteError(
            f"cannot {what}: channels is {_shown(channels)}; expected the indices of filters to"
            f" remove, from 0 to {filters - 1}."
        )
    groups, offset, kept = channel_groups(graph), 0, {}
    removed = np.zeros(filters, bool)
    removed[[int(c) for c in given]] = True
    for run in groups.runs[layer]:
        size = groups.sizes[run.group]
        stays = ~removed[offset : offset + size]  # blocks of a grouped convolution share a group
        kept[run.group] = kept.get(run.group, np.ones(size, bool)) & stays
        offset += size
    sources = {group: np.flatnonzero(stays) for group, stays in kept.items() if not stays.all()}
    if any(len(source) == 0 for source in sources.values()):
        raise SiteError(
            f"cannot {what}: no channel of {layer!r}, or of a group that changes together, would"
            f" stay; it has {filters}."
        )
    return sources


def importance(graph: Graph, given: Any, layer: str | None, what: str) -> Importance:
    """Return the importance of filters that users request, as a function of a graph and a node.

    Args:
        graph: The network.
        given: One number per filter of `layer`, or a function of the name and weights of a layer.
        layer: The layer; None if there is no single one, which requires a function.
        what: The operation, for the message.

    Raises:
        SiteError: If `given` is neither. The function also raises it, if the numbers are not.
    """
    if not callable(given) and layer is None:
        raise SiteError(
            f"cannot {what}: importance is {_shown(given)}; expected a function of the name and the"
            " weights of a layer."
        )

    def of_layer(graph: Graph, name: str) -> np.ndarray:
        filters = graph.shapes()[name][-1]
        if not callable(given) and name != layer:
            return np.zeros(filters)  # tied to the layer, whose filters decide
        values = given(name, graph[name].weights) if callable(given) else given
        try:
            array = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.shape != (filters,) or not np.isfinite(array).all():
            raise SiteError(
                f"cannot {what}: the importance of {name!r} is {_shown(values)}; expected"
                f" {filters} finite numbers, one per filter."
            )
        return array

    return of_layer


def check_memory(graph: Graph, what: str) -> None:
    """Refuse a network that the memory of this machine could not hold.

    Args:
        graph: The edited network, made of shapes.
        what: The operation, for the message.

    Raises:
        SiteError: If its weights are larger than the memory.
    """
    needed = count_parameters(graph) * _BYTES
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > available:
        raise SiteError(
            f"cannot {what}: the network would have {count_parameters(graph):,} parameters,"
            f" {needed / 2**30:.1f} GB, and this machine has {available / 2**30:.1f} GB of memory."
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral | np.integer) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
