"""Groups of channels that can only be added or removed together.

A convolution outputs channels that other layers pass on, consume or add to others. So all channels
of a network belong to *groups*, which are propagated from the input to the output:

- Convolutions and dense layers absorb the groups of their input and start a new one.
- Batch normalization, activations, pooling and depthwise convolutions pass groups on.
- A concatenation lines up the groups of its inputs, and a slice selects some of them, splitting a
  group where it starts or ends; Flatten repeats those of its input.
- A sum or a product *ties* its inputs: channel j of one can only change together with channel j of
  the other. Tied groups become one; where their ends do not coincide, groups are split first.
- A layer normalization passes groups on, which may then only lose channels: any new one would
  change the others. A group normalization also ties the blocks that it normalizes to each other.
- A grouped convolution ties the blocks of its input to each other, so that they stay equally wide,
  and starts one group that occurs once in each block of its output.
- A group is *fixed* if one of its channels cannot change: it belongs to the network's input or
  output, or to a function of several channels such as softmax.

The channels of a node are then a sequence of runs of groups. For example, with a and b of 3 and 5
channels, c of 8 and the sum of concat(a, b) and c, the group of c is split into 3 and 5 channels,
which are tied to a and b: removing a channel of a removes one of c.

A change of channels is a *source* array: channel j of the new tensor is channel ``source[j]`` of
the old one, or fresh if ``source[j]`` is -1. A channel listed twice is split into copies; a channel
that is not listed is removed.
"""

from __future__ import annotations

from collections.abc import Sequence

from lemonade_tf.architecture.channel_rules import Context, propagate
from lemonade_tf.architecture.channel_runs import FRESH, ChannelGroups, Sources, repeat_channels
from lemonade_tf.architecture.graph import Graph

__all__ = ["FRESH", "ChannelGroups", "Sources", "channel_groups", "repeat_channels"]


def channel_groups(graph: Graph) -> ChannelGroups:
    """Return the channel groups of a graph, computed once between two edits."""
    return graph.cached("channel_groups", _channel_groups)


def _channel_groups(graph: Graph) -> ChannelGroups:
    groups, shapes = ChannelGroups(), graph.shapes()
    for name in graph.topological_order():
        node = graph[name]
        inputs = [groups.runs[i] for i in node.inputs]
        groups.runs[name] = propagate(node.layer, Context(groups, name, shapes[name]), *inputs)
    for output in graph.outputs:
        groups.fix(groups.runs[output], "it reaches the output")
    for calls in graph.calls().values():
        _tie_calls(graph, groups, calls)
    # Later sums may have tied or split groups of earlier nodes.
    groups.runs = {name: groups.resolve(runs) for name, runs in groups.runs.items()}
    return groups


def _tie_calls(graph: Graph, groups: ChannelGroups, calls: Sequence[str]) -> None:
    """Tie the inputs and the outputs of all calls of a layer, which change together."""
    first = calls[0]
    for name in calls[1:]:
        for one, other in zip(graph[first].inputs, graph[name].inputs, strict=True):
            groups.tie(groups.runs[one], groups.runs[other])
        groups.tie(groups.runs[first], groups.runs[name])
