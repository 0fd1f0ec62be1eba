"""Shrink a network to a budget: which channels to remove, across the whole network.

With images, this takes several rounds. In each, `channel_ranking` chooses channels by the losses
that `channel_losses` predicts for their consumers, weighted by how much an error there changes the
output of the network (`sensitivities`); the network without them is fitted to the outputs of the
original one; and the next round measures that network. Without images, a single round uses losses
that are estimated from the batch norms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import ceil, log

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import ABSORBERS
from lemonade_tf.architecture.channel_runs import Sources
from lemonade_tf.inheritance.activations import (
    Images,
    count_images,
    max_batch_size,
    take_images,
)
from lemonade_tf.inheritance.channel_losses import LayerLoss, estimated_losses, measured_losses
from lemonade_tf.inheritance.sensitivities import sensitivities
from lemonade_tf.keras_bridge.graph_to_model import logits_node
from lemonade_tf.operators import Change
from lemonade_tf.operators.filters import all_filters
from lemonade_tf.operators.prune import (
    Importance,
    group_importance,
    keep_channels,
    most_important,
    num_removed,
)
from lemonade_tf.surgery.budgets import Costs, ranking
from lemonade_tf.surgery.fitting import ImageFits, as_model

MIN_IMAGES = 16  # to rank channels on
_ROUND = 0.6  # of the cost stay in a round, at least
_SENSITIVITY_IMAGES = 32


def shrunk(
    graph: Graph,
    costs: Costs,
    limits: Mapping[str, float],
    *,
    importance: Importance | None,
    fits: ImageFits | None,
    rng: np.random.Generator,
) -> Graph:
    """Return a network with fewer channels that meets all limits.

    Args:
        graph: The network.
        costs: The costs.
        limits: The limits to meet, by the names of costs.
        importance: Ranks channels instead of the change of the output.
        fits: Fits layers to images; None if there are none.
        rng: Draws positions and errors.
    """
    if importance is not None:
        sources = by_importance(graph, costs, limits, importance)
    else:
        sources = by_estimated_loss(graph, costs, limits)
    change = keep_channels(graph.copy(), sources)
    change = replace(change, distilled=change.affected)
    if fits is None:
        return change.graph
    if importance is not None or count_images(fits.images) < MIN_IMAGES:
        return fits.fitted(change, graph)

    def by_estimate(images: Images) -> Graph:
        del images
        return change.graph

    def on_images(images: Images) -> Graph:
        fit = partial(fits.fit, parent=graph, images=images)
        return shrink_on_images(graph, costs, limits, images, fit, rng=rng)

    return fits.best(by_estimate, on_images, graph, change)


def by_importance(
    graph: Graph,
    costs: Costs,
    limits: Mapping[str, float],
    importance: Importance,
) -> Sources:
    """Return the channels of each group that stay when the least important ones go."""
    ranked = ranking(graph, costs, limits)
    ranked.remove_least_important({g: group_importance(graph, g, importance) for g in ranked.kept})
    return ranked.sources()


def by_importance_of(graph: Graph, layer: str, importance: Importance, share: str) -> Sources:
    """Return the channels that stay when the least important share of a layer's filters go.

    Args:
        graph: The network.
        layer: The layer.
        importance: Returns the importance of each filter of a layer.
        share: The share to remove, as the text of a fraction.
    """
    return {
        group: most_important(group_importance(graph, group, importance), size - removed)
        for group, size in all_filters(graph)[layer].sizes.items()
        if (removed := num_removed(size, share))
    }


def by_estimated_loss(graph: Graph, costs: Costs, limits: Mapping[str, float]) -> Sources:
    """Return the channels of each group that stay by losses that are estimated without images."""
    ranked = ranking(graph, costs, limits)
    ranked.remove_least_loss(estimated_losses(graph))
    return ranked.sources()


def shrink_on_images(
    graph: Graph,
    costs: Costs,
    limits: Mapping[str, float],
    images: Images,
    fit: Callable[[Change], Graph],
    *,
    rng: np.random.Generator,
) -> Graph:
    """Shrink a network in rounds, with layers that are fitted.

    Args:
        graph: The network.
        costs: The costs.
        limits: The limits to meet, by the names of costs.
        images: Preprocessed like the input of the network.
        fit: Returns the child of a change with its layers fitted to the original network.
        rng: Draws positions and errors.
    """
    totals = {name: costs[name](graph).total for name in limits}
    share = min(limit / totals[name] for name, limit in limits.items())
    num_rounds = max(1, ceil(log(share) / log(_ROUND) - 1e-9))
    change, fitted = Change(graph, ()), graph
    for each in range(1, num_rounds + 1):
        # Every round leaves the same part of each cost.
        now = {
            name: totals[name] * (limit / totals[name]) ** (each / num_rounds)
            for name, limit in limits.items()
        }
        ranked = ranking(fitted, costs, now)
        ranked.remove_least_loss(_weighted_losses(fitted, images, rng))
        step = keep_channels(change.graph.copy(), ranked.sources())
        step = replace(step, distilled=step.affected)
        change = change.followed_by(step)
        fitted = fit(change)
    return fitted


def _weighted_losses(
    graph: Graph, images: Images, rng: np.random.Generator
) -> dict[str, LayerLoss]:
    """Return the losses of layers as changes of the output of the network."""
    model = as_model(graph)
    losses = measured_losses(graph, model, images, rng=rng)
    count = count_images(images)
    number = min(_SENSITIVITY_IMAGES, max(2, max_batch_size(graph, 1024) // 4), count)
    outputs = [logits_node(graph)] if len(graph.outputs) == 1 else graph.outputs
    some = take_images(images, np.linspace(0, count - 1, number).astype(int))
    weights = sensitivities(graph, model, some, losses, outputs, rng=rng)
    return {
        name: replace(loss, variance=loss.variance / max(weights[name], 1e-9))
        for name, loss in losses.items()
    }


def producers(graph: Graph) -> tuple[str, ...]:
    """Return the convolutions and dense layers of a network, in topological order."""
    return tuple(n for n in graph.topological_order() if isinstance(graph[n].layer, ABSORBERS))
