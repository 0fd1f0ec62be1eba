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
from math import ceil, log
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_costs import ChannelCosts, LayerCost
from lemonade_tf.architecture.channel_edits import ABSORBERS
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.channel_runs import Sources
from lemonade_tf.architecture.cost import layer_multiply_adds, layer_parameters
from lemonade_tf.inheritance.activations import max_batch_size
from lemonade_tf.inheritance.channel_losses import LayerLoss, estimated_losses, measured_losses
from lemonade_tf.inheritance.channel_ranking import MIN_SHARE, Budget, Ranking
from lemonade_tf.inheritance.sensitivities import sensitivities
from lemonade_tf.keras_bridge import to_keras
from lemonade_tf.keras_bridge.graph_to_model import logits_node
from lemonade_tf.operators import Change, SiteError
from lemonade_tf.operators.prune import Importance, group_importance, keep_channels
from lemonade_tf.surgery.requests import number

MIN_IMAGES = 16  # to rank channels on
_ROUND = 0.6  # of the cost stay in a round, at least
_SENSITIVITY_IMAGES = 32

Fit = Callable[[Change], Graph]  # returns the child with its layers fitted to the original network


def _layer_parameters(layer: Any, output: Any, *inputs: Any) -> int:
    return layer_parameters(layer, *inputs)


COSTS: Mapping[str, LayerCost] = {
    "multiply_adds": layer_multiply_adds,
    "parameters": _layer_parameters,
}


def limits(
    graph: Graph, costs: Mapping[str, LayerCost], requested: Mapping[str, Any]
) -> dict[str, float]:
    """Return the limits that users request, as absolute numbers.

    Args:
        graph: The network.
        costs: The cost of a layer, by the name of the cost.
        requested: Limits by the names of costs: an integer or more than 1, an absolute number; at
            most 1, a share of the present cost.

    Raises:
        SiteError: If a limit is no positive number, or is met already, or cannot be met.
    """
    found = {}
    for name, value in requested.items():
        what = f"shrink to {name}={value!r}"
        expected = "a share of the present cost, at most 1, or an absolute number"
        limit = number(value, name, what, expected, above=0, below=float("inf"))
        total = ChannelCosts(graph, costs[name]).total
        is_share = limit <= 1 and not isinstance(value, int | np.integer)
        found[name] = limit * total if is_share else limit
        if name == "latency" and not is_share:
            found[name] = limit
        if found[name] >= total:
            raise SiteError(f"cannot {what}: the model has {_text(total)}, which is not more.")
        (smallest,) = _ranking(graph, costs, {name: found[name]}).smallest()
        if smallest > found[name]:
            raise SiteError(
                f"cannot {what}: with {MIN_SHARE:.0%} of each layer's filters, the model would"
                f" still have {_text(smallest)} of {_text(total)}; expected at least that."
            )
    return found


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def _ranking(graph: Graph, costs: Mapping[str, LayerCost], limits: Mapping[str, float]) -> Ranking:
    groups = channel_groups(graph)
    used = {run.group for name in graph for run in groups.runs[name]}
    sizes = {g: groups.sizes[g] for g in sorted(used) if g not in groups.fixed}
    budgets = [Budget(ChannelCosts(graph, costs[n]), limit) for n, limit in limits.items()]
    return Ranking(sizes, budgets)


def by_importance(
    graph: Graph,
    costs: Mapping[str, LayerCost],
    limits: Mapping[str, float],
    importance: Importance,
) -> Sources:
    """Return the channels of each group that stay when the least important ones go."""
    ranking = _ranking(graph, costs, limits)
    ranking.remove_least_important(
        {g: group_importance(graph, g, importance) for g in ranking.kept}
    )
    return ranking.sources()


def by_estimated_loss(
    graph: Graph, costs: Mapping[str, LayerCost], limits: Mapping[str, float]
) -> Sources:
    """Return the channels of each group that stay by losses that are estimated without images."""
    ranking = _ranking(graph, costs, limits)
    ranking.remove_least_loss(estimated_losses(graph))
    return ranking.sources()


def shrink_on_images(
    graph: Graph,
    costs: Mapping[str, LayerCost],
    limits: Mapping[str, float],
    images: np.ndarray,
    fit: Fit,
    *,
    rng: np.random.Generator,
) -> tuple[Change, Graph]:
    """Shrink a network in rounds, and return the change and the fitted network.

    Args:
        graph: The network.
        costs: The cost of a layer, by the name of the cost.
        limits: The limits to meet, by the names of costs.
        images: Preprocessed like the input of the network, (n, height, width, channels).
        fit: Fits the layers of a child.
        rng: Draws positions and errors.
    """
    totals = {name: ChannelCosts(graph, costs[name]).total for name in limits}
    share = min(limit / totals[name] for name, limit in limits.items())
    num_rounds = max(1, ceil(log(share) / log(_ROUND) - 1e-9))
    change, fitted = Change(graph, ()), graph
    for each in range(1, num_rounds + 1):
        # Every round leaves the same part of each cost.
        now = {
            name: totals[name] * (limit / totals[name]) ** (each / num_rounds)
            for name, limit in limits.items()
        }
        ranking = _ranking(fitted, costs, now)
        ranking.remove_least_loss(_weighted_losses(fitted, images, rng))
        step = keep_channels(change.graph.copy(), ranking.sources())
        step = replace(step, distilled=step.affected)
        change = change.followed_by(step)
        fitted = fit(change)
    return change, fitted


def _weighted_losses(
    graph: Graph, images: np.ndarray, rng: np.random.Generator
) -> dict[str, LayerLoss]:
    """Return the losses of layers as changes of the output of the network."""
    model: keras.Model = to_keras(graph, learnable=True, layer_per_node=True)
    losses = measured_losses(graph, model, images, rng=rng)
    number = min(_SENSITIVITY_IMAGES, max(2, max_batch_size(graph, 1024) // 4))
    outputs = [logits_node(graph)] if len(graph.outputs) == 1 else graph.outputs
    chosen = np.linspace(0, len(images) - 1, min(number, len(images))).astype(int)
    weights = sensitivities(graph, model, images[chosen], losses, outputs, rng=rng)
    return {
        name: replace(loss, variance=loss.variance / max(weights[name], 1e-9))
        for name, loss in losses.items()
    }


def producers(graph: Graph) -> tuple[str, ...]:
    """Return the convolutions and dense layers of a network, in topological order."""
    return tuple(n for n in graph.topological_order() if isinstance(graph[n].layer, ABSORBERS))
