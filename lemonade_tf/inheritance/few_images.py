"""Whether a fit to few images helps: two-fold cross-validation of the network's output.

A handful of images does not determine thousands of weights, and layers that are fitted to them can
be far worse than unfitted ones. So a fit to each half of the images must bring the output for the
other half closer to the parent's.
"""

from __future__ import annotations

import keras
import numpy as np

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.inheritance.fitted_start import fit_outputs
from lemonade_tf.operators.change import Change

FEW_IMAGES = 64  # for which fits are cross-validated
_MIN_IMAGES = 4
_GAIN = 0.8  # of the error of the unfitted network remains at most


def fit_helps(
    change: Change,
    parent: Graph,
    parent_model: keras.Model,
    model: keras.Model,
    images: np.ndarray,
    *,
    rng: np.random.Generator,
) -> bool:
    """Return whether a fit to half of the images helps on the other half.

    Args:
        change: The change of `parent`.
        parent: The parent.
        parent_model: A model of the parent.
        model: A model of `change.graph`, which ends with the weights that it has.
        images: Preprocessed like its input, (n, height, width, channels).
        rng: Draws the positions of the images to fit on.
    """
    if len(images) < _MIN_IMAGES:
        return False
    desired = _outputs(parent_model, images)
    weights = model.get_weights()
    unfitted = _outputs(model, images)
    halves = np.arange(len(images)) % 2
    gains = []
    for half in (0, 1):
        here, other = halves == half, halves != half
        fit_outputs(change, parent, parent_model, model, images[here], rng=rng)
        limit = _GAIN * _error(unfitted[other], desired[other])
        gains.append(_error(_outputs(model, images[other]), desired[other]) <= limit)
        model.set_weights(weights)
    return all(gains)


def _outputs(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.asarray(model(keras.ops.cast(images, "float32"), training=False), np.float64)


def _error(found: np.ndarray, desired: np.ndarray) -> float:
    return float(np.square(found - desired).mean())
