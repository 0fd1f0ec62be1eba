"""What a network costs as a function of the sizes of its channel groups.

The cost of a layer depends on the numbers of channels of its inputs and its output, and these are
sums of sizes of groups (see `channel_groups`). So the cost of a network with fewer channels follows
without editing the graph, and removing one channel updates the few layers that contain its group.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.channel_runs import Runs
from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layer import Shape, arguments

# (layer, shape of its output, shapes of its inputs) -> cost
LayerCost = Callable[..., float]


class ChannelCosts:
    """The cost of a network whose groups of channels shrink.

    Attributes:
        sizes: The current number of channels of each group.
        total: The cost of the whole network at these sizes.
    """

    def __init__(
        self,
        graph: Graph,
        layer_cost: LayerCost,
        *,
        free: Collection[str] = (),
        constant: float = 0.0,
    ) -> None:
        """Compute the cost of a graph.

        Args:
            graph: The network; only its shapes are used.
            layer_cost: The cost of a layer; the cost of the network is their sum.
            free: The nodes that cost nothing.
            constant: What the network costs besides its layers.
        """
        groups, shapes = channel_groups(graph), graph.shapes()
        self.sizes = dict(groups.sizes)
        self._layer_cost, self._constant = layer_cost, constant
        self._layers: dict[str, tuple[Any, tuple[Shape, ...], tuple[Runs, ...]]] = {}
        self._containing: dict[int, list[str]] = {}
        for name, node in graph.items():
            if name in free:
                continue
            names = (name, *node.inputs)
            runs = tuple(groups.runs[n] for n in names)
            self._layers[name] = (node.layer, tuple(shapes[n] for n in names), runs)
            for group in {run.group for some in runs for run in some}:
                self._containing.setdefault(group, []).append(name)
        self._costs = {name: self._cost(name) for name in self._layers}
        self.total = constant + sum(self._costs.values())

    def saving(self, group: int, number: int = 1) -> float:
        """Return how much less the network costs with fewer channels in a group."""
        self.sizes[group] -= number
        saved = sum(self._costs[n] - self._cost(n) for n in self._containing.get(group, ()))
        self.sizes[group] += number
        return saved

    def remove(self, group: int, number: int = 1) -> None:
        """Remove channels from a group."""
        self.sizes[group] -= number
        for name in self._containing.get(group, ()):
            self._costs[name] = self._cost(name)
        self.total = self._constant + sum(self._costs.values())

    def neighbors(self, group: int) -> set[int]:
        """Return the groups whose saving depends on the size of a group."""
        names = self._containing.get(group, ())
        return {run.group for name in names for runs in self._layers[name][2] for run in runs}

    def _cost(self, name: str) -> float:
        layer, shapes, runs = self._layers[name]
        widths = [sum(self.sizes[run.group] * run.repeat for run in some) for some in runs]
        output, *inputs = [
            (*shape[:-1], width) for shape, width in zip(shapes, widths, strict=True)
        ]
        return self._layer_cost(_with_width(layer, output[-1]), output, *inputs)


def _with_width(layer: Any, width: int) -> Any:
    """Return a layer that outputs a number of channels, if it determines that number itself."""
    for size in ("filters", "units"):
        if size in arguments(layer):
            return replace(layer, **{size: width})
    return layer
