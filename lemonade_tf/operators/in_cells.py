"""An operator at the same place in all cells of a network (search space II, section 5.1).

"We only choose a single operator to generate children, but the operator is applied to all 8
occurrences of the cell in the parent architecture." Exact operators one after another are exact
together; what approximate ones affect is distilled in all cells at once.

A site is one of the operator's own, with the names of nodes inside the cell. It is listed where
the operator applies in every cell, and leaves them alike:

- What a cell reads has another number of channels in each cell, and no multiple of F. So no block
  is inserted behind it (a block has as many filters as the channels that it reads), a convex sum
  with it gets its 1x1 convolution in all cells, whether or not the numbers happen to agree in some,
  and it never becomes a part of what the cell puts out, neither by a concatenation nor by removing
  what lies between. (Otherwise outputs would add up from cell to cell like Fibonacci's rabbits.)
- How many filters come or go is decided in the first block, and doubled with the filters.
- An approximate operator lowers the parameters in each cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import singledispatch
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cells import (
    INPUT,
    Cell,
    CellError,
    block_index,
    extract_cell,
    local_name,
    network_name,
    num_cells,
    prefix,
)
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.layers import ReLU
from lemonade_tf.operators.base import Change, Operator
from lemonade_tf.operators.deepen import InsertSite
from lemonade_tf.operators.prune import PruneFilters, PruneSite, num_removed
from lemonade_tf.operators.remove import RemoveSite
from lemonade_tf.operators.skip import CONCATENATE, AddSkip, SkipSite, is_end
from lemonade_tf.operators.widen import WidenConvolution, WidenSite, num_added

_PLACES = ("node", "source", "target")  # the fields of sites that name nodes


@dataclass(frozen=True)
class Repeated(Operator):
    """Apply an operator at the same place in all cells.

    Args:
        operator: The operator, of space I.
    """

    operator: Operator

    @property
    def name(self) -> str:
        return f"{self.operator.name}_in_cells"

    @property
    def exact(self) -> bool:
        return self.operator.exact

    @property
    def site(self) -> type:
        return self.operator.site

    def _sites(self, graph: Graph) -> Iterator[Any]:
        try:
            cell, cells_per_block, _ = extract_cell(graph)
        except CellError:
            return
        numbers = range(1, num_cells(cells_per_block) + 1)
        found = dict.fromkeys(_candidates(self.operator, graph, cell, numbers))
        for there in found:
            site = _renamed(there, lambda name: local_name(1, name))
            if (
                site is not None
                and all(_placed(site, number) in found for number in numbers)
                and _keeps_alike(site, cell)
            ):
                yield site

    def why_not(self, graph: Graph, site: Any) -> str | None:
        return None if site in self.candidates(graph) else self._why_not(graph, site)

    def _why_not(self, graph: Graph, site: Any) -> str:
        try:
            _, cells_per_block, _ = extract_cell(graph)
        except CellError as error:
            return str(error).rstrip(".")
        for number in range(1, num_cells(cells_per_block) + 1):
            why = self.operator.why_not(graph, _placed(site, number))
            if why is not None:
                return f"in cell {number}, {why}"
        return "what a cell reads would be read, or put out, in a way that differs between cells"

    def _apply(self, graph: Graph, site: Any, rng: np.random.Generator) -> Change:
        return _everywhere(self.operator, graph, site, rng)


# --- Where -------------------------------------------------------------------------------------


def _renamed(site: Any, rename: Callable[[str], str | None]) -> Any | None:
    """Return a site with the names of its nodes changed; None if one of them has no new name."""
    names = {f.name: rename(getattr(site, f.name)) for f in fields(site) if f.name in _PLACES}
    return None if None in names.values() else replace(site, **names)


def _placed(site: Any, number: int) -> Any:
    """Return the site in the network that is this one inside a cell."""
    return _renamed(site, lambda local: network_name(number, local))


@singledispatch
def _candidates(
    operator: Operator, graph: Graph, cell: Cell, numbers: Iterable[int]
) -> Iterable[Any]:
    """Return the sites of an operator in a network, those in cells at least."""
    return operator.candidates(graph)


@_candidates.register
def _(operator: AddSkip, graph: Graph, cell: Cell, numbers: Iterable[int]) -> Iterable[Any]:
    pairs = tuple(_pairs(cell))  # skips between cells, by far the most of all, are left out
    return operator.sites_between(
        graph,
        (
            (network_name(n, source), network_name(n, target))
            for n in numbers
            for source, target in pairs
        ),
    )


def _pairs(cell: Cell) -> Iterator[tuple[str, str]]:
    """Yield what a skip inside a cell could join: its source, and its target."""
    graph = cell.graph
    ends = [
        name for name in graph.topological_order() if name == INPUT or is_end(graph[name].layer)
    ]
    for target in ends:
        if isinstance(graph[target].layer, ReLU):
            before = graph.ancestors(target)
            yield from ((source, target) for source in ends if source in before)


@singledispatch
def _keeps_alike(site: Any, cell: Cell) -> bool:
    """Return whether cells are still alike, their outputs multiples of F, after an operator."""
    return True


@_keeps_alike.register
def _(site: InsertSite, cell: Cell) -> bool:
    return site.node not in cell.from_input


@_keeps_alike.register
def _(site: SkipSite, cell: Cell) -> bool:
    return site.kind != CONCATENATE or not (
        site.source in cell.from_input and site.target in cell.into_output
    )


@_keeps_alike.register
def _(site: RemoveSite, cell: Cell) -> bool:
    before = cell.nodes[site.node].inputs[0]
    return not (before in cell.from_input and site.node in cell.into_output)


# --- What --------------------------------------------------------------------------------------


def _in_turn(graph: Graph, edit: Callable[[int], Change]) -> Change:
    """Return what an edit, made in one cell after the other, changes in all."""
    _, cells_per_block, _ = extract_cell(graph)
    change = Change(graph, affected=())
    for number in range(1, num_cells(cells_per_block) + 1):
        with graph.naming(prefix(number)):
            change = change.followed_by(edit(number))
    return change


@singledispatch
def _everywhere(operator: Operator, graph: Graph, site: Any, rng: np.random.Generator) -> Change:
    """Apply an operator in all cells, in place."""
    return _in_turn(graph, lambda number: operator._apply(graph, _placed(site, number), rng))


@_everywhere.register
def _(operator: AddSkip, graph: Graph, site: SkipSite, rng: np.random.Generator) -> Change:
    project = site.source in extract_cell(graph)[0].from_input

    def add(number: int) -> Change:
        return operator.add_skip(graph, _placed(site, number), rng, project=project)

    return _in_turn(graph, add)


@_everywhere.register
def _(operator: WidenConvolution, graph: Graph, site: WidenSite, rng: Any) -> Change:
    added = _in_proportion(graph, site.node, lambda size: num_added(size, site.factor))
    return operator.widen(graph, added, rng)


@_everywhere.register
def _(operator: PruneFilters, graph: Graph, site: PruneSite, rng: Any) -> Change:
    removed = _in_proportion(graph, site.node, lambda size: num_removed(size, site.fraction))
    return operator.prune(graph, removed)


def _in_proportion(graph: Graph, node: str, count: Callable[[int], int]) -> Mapping[int, int]:
    """Return how many channels of each group change, if in the first block it is count(size)."""
    groups, (_, cells_per_block, _) = channel_groups(graph), extract_cell(graph)
    first = [count(groups.sizes[g]) for g in groups.groups_of(network_name(1, node))]
    return {
        group: number_of_channels * 2 ** block_index(number, cells_per_block)
        for number in range(1, num_cells(cells_per_block) + 1)
        for group, number_of_channels in zip(
            groups.groups_of(network_name(number, node)), first, strict=True
        )
    }
