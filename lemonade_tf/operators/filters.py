"""Which convolutions and dense layers can have more or fewer filters, and in which steps.

Widening and pruning ask the same question. The filters of a convolution are one or several groups
of channels (see `architecture.channel_groups`): all blocks of a grouped convolution are one group,
and sums split and tie groups. They can change unless a group is fixed, for instance by reaching the
input or the output of the network.

Both can keep the numbers of filters multiples of a number such as 8, for which matrix units are
built. Each group that changes then gets a multiple. So every convolution that consists of such
groups has one too; where another convolution also has a group that stays as it is, and is no
multiple, the numbers cannot change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.channel_edits import ABSORBERS
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.layer_lists import kind_name
from lemonade_tf.architecture.layers import DepthwiseConv2D
from lemonade_tf.architecture.opaque import Opaque


@dataclass(frozen=True)
class Filters:
    """The filters of a convolution or dense layer, as groups of channels that change together.

    Attributes:
        sizes: The number of channels in each group, by the number of the group.
        refusal: Why they cannot change, in words; None if they can.
        growth_refusal: Why there cannot be more of them, in words; None if there can.
    """

    sizes: Mapping[int, int]
    refusal: str | None
    growth_refusal: str | None


def all_filters(graph: Graph) -> Mapping[str, Filters]:
    """Return the filters of every convolution and the units of every dense layer, in topological
    order.
    """
    return graph.cached("filters", _all_filters)


def _all_filters(graph: Graph) -> Mapping[str, Filters]:
    groups = channel_groups(graph)
    found = {}
    for name in graph.topological_order():
        if isinstance(graph[name].layer, ABSORBERS):
            own = groups.groups_of(name)
            others = _tied_producers(graph, name)
            tied = f" (tied to it: {graph.listed(others)})" if others else ""
            refusal = growth_refusal = None
            if (reason := groups.why_fixed(own)) is not None:
                refusal = f"{name!r} has a group of channels that cannot change: {reason}{tied}"
            elif (reason := groups.why_capped(own)) is not None:
                growth_refusal = f"new channels of {name!r} would change the others: {reason}{tied}"
            sizes = {g: groups.sizes[g] for g in own}
            found[name] = Filters(sizes, refusal, refusal or growth_refusal)
    return found


def filters_refusal(graph: Graph, name: str) -> str | None:
    """Return why the number of filters of a node cannot change, in words; None if it can."""
    filters = all_filters(graph).get(name)
    if filters is not None:
        return filters.refusal
    others = _tied_producers(graph, name)
    origin = f"; its channels come from {graph.listed(others)}" if others else ""
    kind = kind_name(graph[name].layer)
    if isinstance(graph[name].layer, Opaque):
        return f"{name!r} is a {kind}, which is carried as it is{origin}"
    return f"{name!r} is a {kind}, not a convolution or dense layer{origin}"


def growth_refusal(graph: Graph, name: str) -> str | None:
    """Return why a node cannot have more filters, in words; None if it can."""
    filters = all_filters(graph).get(name)
    return filters_refusal(graph, name) if filters is None else filters.growth_refusal


def filters_owner(graph: Graph, name: str) -> str:
    """Return the convolution or dense layer that a depthwise convolution has its channels from.

    It is the node itself if that is no depthwise convolution, or if its channels do not
    correspond one by one to those of a layer before.
    """
    runs = channel_groups(graph).runs
    if isinstance(graph[name].layer, DepthwiseConv2D):
        return next((n for n in _tied_producers(graph, name) if runs[n] == runs[name]), name)
    return name


def multiple_refusal(graph: Graph, changing: Collection[int], multiple: int) -> str | None:
    """Return why filters would be no multiple of a number after a change, in words, or None.

    Args:
        graph: The graph.
        changing: The groups of channels that get a multiple.
        multiple: The number.
    """
    if multiple < 1:
        return f"the multiple is {multiple}; expected at least 1"
    runs = channel_groups(graph).runs
    for name, filters in all_filters(graph).items():
        if multiple > 1 and not filters.sizes.keys().isdisjoint(changing):
            groups = [run.group for run in runs[name]]
            others = sum(filters.sizes[group] for group in groups if group not in changing)
            if others % multiple:
                return (
                    f"{others} filters of {name!r} would stay as they are, which is no multiple of"
                    f" {multiple}"
                )
    return None


def _tied_producers(graph: Graph, name: str) -> tuple[str, ...]:
    """Return the other convolutions and dense layers that produce channels of a node."""
    groups = channel_groups(graph)
    own = set(groups.groups_of(name))
    return tuple(
        other
        for other in graph.topological_order()
        if other != name
        and isinstance(graph[other].layer, ABSORBERS)
        and not own.isdisjoint(groups.groups_of(other))
    )
