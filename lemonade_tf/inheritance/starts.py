"""Prepare the weights that a child starts from: carry out repairs, or draw new ones (A.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.inheritance.activations import max_batch_size
from lemonade_tf.inheritance.batch_statistics import measure_statistics
from lemonade_tf.inheritance.fitted_start import fit_outputs
from lemonade_tf.operators.change import Change
from lemonade_tf.operators.initial import initial_weights


def with_new_weights(change: Change, rng: np.random.Generator) -> Change:
    """Return a change with new weights in all nodes to be distilled: the start "random"."""
    graph, new = change.graph.copy(), initial_weights(change.graph, rng=rng)
    for name in change.distilled:
        graph.set_weights(name, new[name].weights)
    return replace(change, graph=graph)


def carry_out_repairs(
    change: Change,
    parent: Graph,
    parent_model: Callable[[], keras.Model],
    model: keras.Model,
    x_train: np.ndarray,
    *,
    statistics_images: int,
    fit_images: int | None,
    rng: np.random.Generator,
) -> None:
    """Carry out the repairs of a change in a model, on some of the training images.

    Args:
        change: The change.
        parent: The graph that was changed.
        parent_model: Returns the model of the parent; called only if layers are fitted.
        model: The model of the child.
        x_train: Raw pixels, (n, height, width, channels).
        statistics_images: The maximum number of images for batch statistics.
        fit_images: The maximum number of images for fitting layers; None to keep the inherited
            weights.
        rng: Draws the images, and their positions to fit on.
    """
    if not change.repairs:
        return
    shuffled = rng.permutation(len(x_train))
    if change.fit_repairs and fit_images is not None:
        number = max_batch_size(parent, fit_images)
        fit_outputs(change, parent, parent_model(), model, x_train[shuffled[:number]], rng=rng)
    if change.statistics_repairs:
        number = max_batch_size(change.graph, statistics_images)
        measure_statistics(
            change.statistics_repairs, change.graph, model, x_train[shuffled[:number]]
        )
