"""Building the graphs of networks from the literature, layer by layer.

So that these networks and those of a search differ in their architecture only, all of them have the
same ends (raw pixels in, probabilities out), the same batch normalization and the same initial
weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import (
    Activation,
    AveragePooling2D,
    Concatenate,
    Conv2D,
    Cropping2D,
    Dense,
    GlobalAveragePooling2D,
    Input,
    Layer,
    ReLU,
    Rescaling,
    Shape,
    ZeroPadding2D,
)
from lemonade_tf.operators.initial import NORMALIZATION, initial_weights
from lemonade_tf.search_spaces.space import DEFAULT_RESCALING, check_task


class NetworkBuilder:
    """A graph that grows; its methods return the name of the last node that they add.

    Args:
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        rescaling: The rescaling of raw pixels, 0 to 255, after the input.
        rng: Draws the weights; by default numpy.random.default_rng(0).

    Attributes:
        start: The node with the rescaled images.

    Raises:
        ValueError: If the images are smaller than 2x2, or if there are fewer than two classes.
    """

    def __init__(
        self,
        input_shape: Shape,
        num_classes: int,
        *,
        rescaling: Rescaling | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        check_task(input_shape, num_classes)
        self._graph = Graph()
        self._num_classes = num_classes
        self._rng = np.random.default_rng(0) if rng is None else rng
        source = self._graph.add("input", Input(tuple(input_shape)))
        self.start = self._graph.add("rescaling", rescaling or DEFAULT_RESCALING, [source])
        self._shapes = dict(self._graph.shapes())

    def add(self, name: str, layer: Layer, *inputs: str) -> str:
        """Add a layer."""
        self._shapes[name] = layer.output_shape(*(self._shapes[source] for source in inputs))
        return self._graph.add(name, layer, inputs)

    def shape(self, name: str) -> Shape:
        """Return the shape of a node's output."""
        return self._shapes[name]

    def normalized(self, name: str, layer: Layer, source: str, *, then: Any = None) -> str:
        """Add a layer, batch normalization, and an activation layer if one is given."""
        at = self.add(name, layer, source)
        at = self.add(f"{name}_bn", NORMALIZATION, at)
        return at if then is None else self.add(f"{name}_relu", then, at)

    def convolution(
        self, name: str, filters: int, source: str, *, then: Any = None, **arguments: Any
    ) -> str:
        """Add a convolution, 1x1 by default, batch normalization, and perhaps an activation."""
        layer = Conv2D(filters, **{"kernel_size": 1, **arguments})
        return self.normalized(name, layer, source, then=then)

    def halved(self, name: str, filters: int, source: str) -> str:
        """Add ReLU, 1x1 convolutions that halve the resolution, and batch normalization.

        Every second pixel is taken in two ways, shifted by one, and half of the channels come from
        each.
        """
        at = self.add(f"{name}_relu", ReLU(), source)
        shifted = self.add(f"{name}_pad", ZeroPadding2D(((0, 1), (0, 1))), at)
        shifted = self.add(f"{name}_crop", Cropping2D(((1, 0), (1, 0))), shifted)
        halves, few = [], filters // 2
        for part, start, channels in (("a", at, filters - few), ("b", shifted, few)):
            pooled = self.add(f"{name}_{part}_pool", AveragePooling2D(1, strides=2), start)
            halves.append(self.add(f"{name}_{part}", Conv2D(channels, 1), pooled))
        joined = self.add(f"{name}_join", Concatenate(), *halves)
        return self.add(f"{name}_bn", NORMALIZATION, joined)

    def finish(self, source: str) -> Graph:
        """Add global average pooling and the classifier; return the network, with new weights."""
        at = self.add("global_pool", GlobalAveragePooling2D(), source)
        at = self.add("logits", Dense(self._num_classes), at)
        self._graph.output = self.add("softmax", Activation("softmax"), at)
        return initial_weights(self._graph, rng=self._rng)
