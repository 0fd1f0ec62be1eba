"""Fit the layers of an edited network to the images of a surgery.

A handful of images does not determine thousands of weights, and layers that are fitted to them can
be far worse than unfitted ones. So what few images suggest is cross-validated in two folds: made
with each half of the images, it must bring the logits for the other half closer to the parent's
than what is made without images, by more the fewer images there are. Less than 8 images decide
nothing. From 64 images on, fits are far better than none, also those of layers with more inputs
than there are images: directions that the images do not determine keep their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layer_lists import kind_name, listed_by_kind
from lemonade_tf.backends.current import current_backend
from lemonade_tf.inheritance.activations import (
    Images,
    call_layer,
    count_images,
    input_values,
    take_images,
    walk,
)
from lemonade_tf.inheritance.batch_statistics import measure_statistics
from lemonade_tf.inheritance.fitted_start import fit_outputs
from lemonade_tf.keras_bridge import read_weights, to_keras
from lemonade_tf.keras_bridge.graph_to_model import logits_node
from lemonade_tf.operators import Change
from lemonade_tf.surgery.warning import warn_user

FEW_IMAGES = 64  # fewer are cross-validated
_MIN_IMAGES = 8
_GAINS = {8: 0.5, 16: 0.65, 32: 0.8}  # from this number of images, what remains of the error

Make = Callable[[Images], Graph]  # makes a network with some images


class ImageFits:
    """Fits the children of edits to images.

    Args:
        images: Preprocessed like the input of the network.
        rng: Draws the positions to fit on.
    """

    def __init__(self, images: Images, rng: np.random.Generator) -> None:
        self.images = images
        self._rng = rng
        self._warned: set[str] = set()  # the kinds of layers

    @property
    def are_few(self) -> bool:
        """Whether what the images suggest is cross-validated."""
        return count_images(self.images) < FEW_IMAGES

    def measured(self, change: Change) -> Graph:
        """Return the child of an exact change, with measured statistics of inserted blocks."""
        model = as_model(change.graph)
        with current_backend().full_precision():
            measure_statistics(
                change.statistics_repairs, change.graph, model, self.images, training=False
            )
        return read_weights(model, change.graph)

    def fitted(self, change: Change, parent: Graph) -> Graph:
        """Return the child of a change with layers fitted to the outputs of the parent.

        It is not fitted to few images where cross-validation does not show that this helps.
        """

        def fit(images: Images) -> Graph:
            return self.fit(change, parent, images)

        return self.best(lambda _: change.graph, fit, parent, change)

    def fit(self, change: Change, parent: Graph, images: Images) -> Graph:
        """Return the child of a change with layers fitted to some images."""
        before, model = as_model(parent), as_model(change.graph)
        with current_backend().full_precision():
            fit_outputs(change, parent, before, model, images, rng=self._rng)
        return read_weights(model, change.graph)

    def best(self, without: Make, make: Make, parent: Graph, change: Change) -> Graph:
        """Return what is made with the images, unless something else is better.

        Args:
            without: Makes a network with less use of the images.
            make: Makes it with the images.
            parent: The network whose outputs both should have.
            change: The change that requires fits, for a warning if there are few images.
        """
        if self.are_few:
            self._warn_of_few_images(change.graph, (repair.node for repair in change.fit_repairs))
            if not self._helps(without, make, parent):
                return without(self.images)
        return make(self.images)

    def _helps(self, without: Make, make: Make, parent: Graph) -> bool:
        number = count_images(self.images)
        if number < _MIN_IMAGES:
            return False
        gain = max(gain for least, gain in _GAINS.items() if least <= number)
        for half in (0, 1):
            here = np.arange(number) % 2 == half
            some, others = (take_images(self.images, mask) for mask in (here, ~here))
            limit = gain * output_error(without(some), parent, others)
            if output_error(make(some), parent, others) > limit:
                return False
        return True

    def _warn_of_few_images(self, graph: Graph, names: Iterable[str]) -> None:
        """Warn once of each kind of layer."""
        layers = [(name, graph[name].layer) for name in names]
        new = [pair for pair in layers if kind_name(pair[1]) not in self._warned]
        if new:
            self._warned.update(kind_name(layer) for _, layer in new)
            number = count_images(self.images)
            warn_user(
                f"{number} images are few for the layers to be fitted, which need {FEW_IMAGES} or"
                f" more: {listed_by_kind(new)}. With fewer, they are fitted only after edits for"
                f" which cross-validation shows that it helps, and with less than {_MIN_IMAGES},"
                " never."
            )


def output_error(graph: Graph, parent: Graph, images: Images) -> float:
    """Return the mean square error of a network's logits, relative to the variance of the parent's.

    Without logits, the outputs count.
    """
    found, desired = (_ends(each, images) for each in (graph, parent))
    errors = [
        np.square(ours - theirs).mean() / max(float(theirs.var()), 1e-30)
        for ours, theirs in zip(found, desired, strict=True)
    ]
    return float(np.mean(errors))


def _ends(graph: Graph, images: Images) -> list[np.ndarray]:
    """Return the logits of a network, or its outputs if it does not end in an activation."""
    model = as_model(graph)
    layers = {layer.name: layer for layer in model.layers}
    names = (logits_node(graph),) if len(graph.outputs) == 1 else graph.outputs

    def compute(name: str, inputs: list) -> object:
        return call_layer(layers[name], inputs)

    with current_backend().full_precision():
        found = walk(graph, input_values(graph, model, images), names, compute, keep=names)
    return [np.asarray(found[name], np.float64) for name in names]


def as_model(graph: Graph) -> keras.Model:
    """Return a model with a layer for each node."""
    return to_keras(graph, learnable=True, layer_per_node=True)
