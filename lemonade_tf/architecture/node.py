"""The nodes of a graph."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lemonade_tf.errors import LemonadeError

if TYPE_CHECKING:
    from lemonade_tf.architecture.layer import Layer


class GraphError(LemonadeError, ValueError):
    """An edit would break a graph, or a graph is broken."""


@dataclass(frozen=True)
class Origin:
    """What a node was in the model that it was converted from; `keras_bridge` extends it.

    Attributes:
        shared: A key that the nodes of all calls of one layer have in common. Such nodes have the
            same layer and the same weights. None for a layer that is called once.
    """

    shared: Hashable = None


@dataclass(frozen=True)
class Node:
    """A layer with its inputs and weights.

    Attributes:
        layer: The layer.
        inputs: The names of the nodes that are its inputs, in order.
        weights: Read-only float arrays by their names in Keras; empty in a graph of shapes.
        origin: What edits of the node do not change: how to restore the layer of an imported model.
            None for a new node.
    """

    layer: Layer
    inputs: tuple[str, ...] = ()
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    origin: Origin | None = None


def freeze(weights: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
    """Return weights as read-only arrays; arrays that are already read-only are shared."""
    frozen = {}
    for name, value in weights.items():
        array = np.asarray(value)
        if array.flags.writeable:
            array = array.copy()
            array.flags.writeable = False
        frozen[name] = array
    return frozen
