"""From what a child starts: its operators' repairs, and the start of approximate ones (A.1).

The operators leave weights that the parent's determine. With training images at hand, layers that
an approximate operator changed are fitted to the parent (`fitted_start`), and batch normalizations
get the statistics of those images (`repairs`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.inheritance.activations import num_images_at_once
from lemonade_tf.inheritance.fitted_start import fit_outputs
from lemonade_tf.inheritance.repairs import measure_statistics
from lemonade_tf.operators import Change
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.training.settings import TrainingSettings


def with_new_weights(change: Change, rng: np.random.Generator) -> Change:
    """Return a change whose affected nodes all have new weights: the start "random"."""
    graph, new = change.graph.copy(), initial_weights(change.graph, rng=rng)
    for name in change.affected:
        graph.set_weights(name, new[name].weights)
    return replace(change, graph=graph)


def carry_out_repairs(
    change: Change,
    parent: Graph,
    parent_model: Callable[[], keras.Model],
    model: keras.Model,
    x_train: np.ndarray,
    settings: TrainingSettings,
    *,
    rng: np.random.Generator,
) -> None:
    """Carry out the repairs of a change in a model, on some of the training images.

    Args:
        change: The change.
        parent: The graph that it was made on.
        parent_model: Returns the parent's model; called only where it is needed.
        model: The child's model.
        x_train: (n, height, width, channels), raw pixels.
        settings: How to train; what the start is, and how many images are looked at.
        rng: Draws the images, and what of them is looked at.
    """
    if not change.repairs:
        return
    shuffled = rng.permutation(len(x_train))
    if change.fits and settings.approximate_start == "fitted":
        most = num_images_at_once(parent, settings.fit_images)
        fit_outputs(change, parent, parent_model(), model, x_train[shuffled[:most]], rng=rng)
    if change.measurements:
        most = num_images_at_once(change.graph, settings.statistics_images)
        measure_statistics(change.measurements, change.graph, model, x_train[shuffled[:most]])
