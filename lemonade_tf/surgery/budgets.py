"""The budgets that a network can be shrunk to: costs, and the limits that users request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_costs import ChannelCosts
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.cost import layer_multiply_adds, layer_parameters, repeated_calls
from lemonade_tf.inheritance.channel_ranking import MIN_SHARE, Budget, Ranking
from lemonade_tf.latency import LatencyModel
from lemonade_tf.latency.one_network import channel_costs, measured_share, model_of_versions
from lemonade_tf.operators import SiteError
from lemonade_tf.surgery.requests import number
from lemonade_tf.surgery.warning import warn_user

Costs = Mapping[str, Callable[[Graph], ChannelCosts]]  # the cost of a network, by its name

LATENCY = "latency"
_TOLERANCE = 1.05  # of a measured latency, which varies


def _multiply_adds(graph: Graph) -> ChannelCosts:
    return ChannelCosts(graph, layer_multiply_adds)


def _parameters(graph: Graph) -> ChannelCosts:
    return ChannelCosts(graph, _layer_parameters, free=repeated_calls(graph))


def _layer_parameters(layer: Any, output: Any, *inputs: Any) -> int:
    return layer_parameters(layer, *inputs)


COUNTED: Costs = {"multiply_adds": _multiply_adds, "parameters": _parameters}


def costs_of(graph: Graph, requested: Mapping[str, Any], model: LatencyModel | None) -> Costs:
    """Return the costs that limits are requested for, and maybe more.

    Args:
        graph: The network.
        requested: Limits by the names of costs.
        model: Predicts the latency; None to measure the network, if a latency is requested.

    Raises:
        SiteError: If the model is none.
    """
    if not isinstance(model, LatencyModel | None):
        raise SiteError(
            f"latency_model is a {type(model).__name__}; expected a"
            " lemonade_tf.latency.LatencyModel."
        )
    if LATENCY not in requested:
        return COUNTED
    predicting = model_of_versions(graph) if model is None else model
    return {**COUNTED, LATENCY: partial(channel_costs, predicting)}


def limits(graph: Graph, costs: Costs, requested: Mapping[str, Any]) -> dict[str, float]:
    """Return the limits that users request, as absolute numbers.

    Args:
        graph: The network.
        costs: The costs.
        requested: Limits by the names of costs: an integer or more than 1, an absolute number; at
            most 1, a share of the present cost. A latency is always a share.

    Raises:
        SiteError: If a limit is no positive number, or is met already, or cannot be met.
    """
    found = {}
    for name, value in requested.items():
        what = f"shrink to {name}={value!r}"
        limit = _number(name, value, what)
        total = costs[name](graph).total
        is_share = limit <= 1 and not isinstance(value, int | np.integer)
        found[name] = limit * total if is_share else limit
        if found[name] >= total:
            raise SiteError(
                f"cannot {what}: the model has {_text(name, total)}, which is not more."
            )
        (smallest,) = ranking(graph, costs, {name: found[name]}).smallest()
        if smallest > found[name]:
            raise SiteError(
                f"cannot {what}: with {MIN_SHARE:.0%} of each layer's filters, the model would"
                f" still have {_text(name, smallest)} of {_text(name, total)}; expected at least"
                " that."
            )
    return found


def check_limits(requested: Mapping[str, Any]) -> None:
    """Check the types and ranges of limits, before anything is measured.

    Raises:
        SiteError: If a limit is no positive number.
    """
    for name, value in requested.items():
        _number(name, value, f"shrink to {name}={value!r}")


def _number(name: str, value: Any, what: str) -> float:
    if name == LATENCY:
        return number(value, name, what, "a share of the present latency", above=0, below=1)
    expected = "a share of the present cost, at most 1, or an absolute number"
    return number(value, name, what, expected, above=0, below=float("inf"))


def _text(name: str, value: float) -> str:
    if name == LATENCY:
        return f"a predicted {1e3 * value:.3g} ms per image"
    return f"{value:,.0f}"


def reached_latency(
    what: str, share: float | None, costs: Costs, before: Graph, after: Graph, *, measure: bool
) -> str:
    """Return the latency that a network was shrunk to, in words.

    Warns if a measured time misses the requested share.

    Args:
        what: The operation, for the warning.
        share: The requested share of the time before; None if none is requested.
        costs: The costs.
        before: The network before.
        after: The network after.
        measure: Whether to measure both, besides the prediction.
    """
    if share is None:
        return ""
    old, new = (1e3 * costs[LATENCY](graph).total for graph in (before, after))
    text = f"predicted {new:.3g} of {old:.3g} ms per image"
    found = measured_share(before, after) if measure else None
    if found is None:
        return f" ({text})"
    if found > _TOLERANCE * share:
        warn_user(
            f"{what} reached {found:.2f} of the time before, as measured; the prediction was"
            f" {new / old:.2f}. Small layers take less of the time than predicted; shrink again, or"
            " to a smaller share."
        )
    return f" ({text}, measured {found:.2f} of the time before)"


def ranking(graph: Graph, costs: Costs, limits: Mapping[str, float]) -> Ranking:
    """Return a ranking of all channels that may go, with the limits as its budgets."""
    groups = channel_groups(graph)
    used = {run.group for name in graph for run in groups.runs[name]}
    sizes = {g: groups.sizes[g] for g in sorted(used) if g not in groups.fixed}
    return Ranking(sizes, [Budget(costs[name](graph), limit) for name, limit in limits.items()])
