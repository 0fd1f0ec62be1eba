"""Apply an operator at the same place in all cells of a network (search space II, section 5.1).

"We only choose a single operator to generate children, but the operator is applied to all 8
occurrences of the cell in the parent architecture." Exact operators in sequence are exact together;
the nodes that approximate ones affect are distilled in all cells at once.

A site is a site of the operator, with the names of nodes inside the cell. It applies where the
operator applies in every cell and leaves the cells alike:

- The input of a cell has a different number of channels in each cell, and no multiple of F. So no
  block is inserted after it (a block has as many filters as its input has channels), a convex sum
  with it gets its 1x1 convolution in all cells, whether or not the numbers happen to agree in some,
  and it never becomes a part of the cell's output, neither by a concatenation nor by removing what
  lies between. (Otherwise outputs would grow from cell to cell like the Fibonacci numbers.)
- How many filters to add or remove is decided in the first block, and doubles with the filters.
- An approximate operator lowers the parameters in each cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
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
    name_prefix,
    network_name,
    num_cells,
)
from lemonade_tf.operators.base import Operator, nodes_of
from lemonade_tf.operators.blocks import ends_block_or_skip, is_activation
from lemonade_tf.operators.change import Change
from lemonade_tf.operators.deepen import InsertSite
from lemonade_tf.operators.filters import all_filters
from lemonade_tf.operators.prune import PruneFilters, PruneSite, num_removed
from lemonade_tf.operators.remove import RemoveSite
from lemonade_tf.operators.skip import CONCATENATE, AddSkip, SkipSite, skip_sites
from lemonade_tf.operators.widen import WidenConvolution, WidenSite, num_added


class InCells(Operator):
    """Apply an operator at the same place in all cells.

    Args:
        operator: An operator of search space I.
    """

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.name = f"{operator.name}_in_cells"
        self.exact = operator.exact
        self.site = operator.site

    def with_width_multiple(self, multiple: int) -> InCells:
        """Return the operator whose sites keep numbers of filters multiples of a number."""
        return InCells(self.operator.with_width_multiple(multiple))

    def refusal(self, graph: Graph, site: Any) -> str | None:
        return self._refusal(graph, site)  # the names in the site are those inside the cell

    def _sites(self, graph: Graph) -> Iterable[Any]:
        try:
            cell, _, _ = extract_cell(graph)
        except CellError:
            return ()
        return _sites_in_cell(self.operator, graph, cell)

    def _refusal(self, graph: Graph, site: Any) -> str | None:
        try:
            cell, cells_per_block, _ = extract_cell(graph)
        except CellError as error:
            return str(error).rstrip(".")
        for number in range(1, num_cells(cells_per_block) + 1):
            reason = self.operator.refusal(graph, _placed(site, number))
            if reason is not None:
                return f"in cell {number}, {reason}"
        return _alikeness_refusal(site, cell)

    def _apply(self, graph: Graph, site: Any, rng: np.random.Generator) -> Change:
        return _apply_in_cells(self.operator, graph, site, rng)


# --- Where -------------------------------------------------------------------------------------


def _placed(site: Any, number: int) -> Any:
    """Return the site in the network for a site inside a cell."""
    names = {f: network_name(number, name) for f, name in nodes_of(site).items()}
    return replace(site, **names)


@singledispatch
def _sites_in_cell(operator: Operator, graph: Graph, cell: Cell) -> Iterator[Any]:
    """Yield sites inside the first cell, among them all where an operator applies."""
    for site in operator._sites(graph):
        names = {f: local_name(1, name) for f, name in nodes_of(site).items()}
        if None not in names.values():
            yield replace(site, **names)


@_sites_in_cell.register
def _(operator: AddSkip, graph: Graph, cell: Cell) -> Iterator[SkipSite]:
    # Skips between cells, which are most of those in the network, are not even enumerated.
    order, inside = cell.graph.topological_order(), cell.graph
    sources = [n for n in order if n == INPUT or ends_block_or_skip(inside[n].layer)]
    targets = [n for n in sources if is_activation(inside[n].layer)]
    return skip_sites(inside, sources, targets)


@singledispatch
def _alikeness_refusal(site: Any, cell: Cell) -> str | None:
    """Return why cells would differ, or have outputs of no multiple of F, after an operator."""
    return None


@_alikeness_refusal.register
def _(site: InsertSite, cell: Cell) -> str | None:
    if site.node in cell.carries_input:
        return f"the number of channels of {site.node!r} differs between cells"
    return None


@_alikeness_refusal.register
def _(site: SkipSite, cell: Cell) -> str | None:
    if site.kind == CONCATENATE and site.source in cell.carries_input:
        return _output_refusal(site.target, cell)
    return None


@_alikeness_refusal.register
def _(site: RemoveSite, cell: Cell) -> str | None:
    if cell.nodes[site.node].inputs[0] in cell.carries_input:
        return _output_refusal(site.node, cell)
    return None


def _output_refusal(node: str, cell: Cell) -> str | None:
    """Return why channels of the cell's input cannot be appended to a node."""
    if node in cell.feeds_output:
        return (
            "channels of the cell's input, whose number differs between cells, would become part"
            " of its output"
        )
    return None


# --- What --------------------------------------------------------------------------------------


def _cell_by_cell(graph: Graph, edit: Callable[[int], Change]) -> Change:
    """Make an edit in one cell after the other, and return all of them as one change."""
    _, cells_per_block, _ = extract_cell(graph)
    change = Change(graph, affected=())
    for number in range(1, num_cells(cells_per_block) + 1):
        with graph.naming(name_prefix(number)):  # names tell which cell a new node belongs to
            change = change.followed_by(edit(number))
    return change


@singledispatch
def _apply_in_cells(
    operator: Operator, graph: Graph, site: Any, rng: np.random.Generator
) -> Change:
    """Apply an operator in all cells, in place."""
    return _cell_by_cell(graph, lambda n: operator._apply(graph, _placed(site, n), rng))


@_apply_in_cells.register
def _(operator: AddSkip, graph: Graph, site: SkipSite, rng: np.random.Generator) -> Change:
    # Project in all cells or in none, also where the channels of the input happen to agree.
    project = site.source in extract_cell(graph)[0].carries_input

    def add(number: int) -> Change:
        return operator.add_skip(graph, _placed(site, number), rng, project=project)

    return _cell_by_cell(graph, add)


@_apply_in_cells.register
def _(operator: WidenConvolution, graph: Graph, site: WidenSite, rng: Any) -> Change:
    added = _in_proportion(
        graph, site.node, lambda size: num_added(size, site.factor, site.multiple)
    )
    return operator.widen(graph, added, rng)


@_apply_in_cells.register
def _(operator: PruneFilters, graph: Graph, site: PruneSite, rng: Any) -> Change:
    removed = _in_proportion(
        graph, site.node, lambda size: num_removed(size, site.fraction, site.multiple)
    )
    return operator.prune(graph, removed)


def _in_proportion(graph: Graph, node: str, count: Callable[[int], int]) -> Mapping[int, int]:
    """Return by how many channels each group changes, if it is count(size) in the first block."""
    filters, (_, cells_per_block, _) = all_filters(graph), extract_cell(graph)
    # Cells are alike, so the groups of a node correspond from cell to cell in their order.
    first = [count(size) for size in filters[network_name(1, node)].sizes.values()]
    return {
        group: in_first_block * 2 ** block_index(number, cells_per_block)
        for number in range(1, num_cells(cells_per_block) + 1)
        for group, in_first_block in zip(
            filters[network_name(number, node)].sizes, first, strict=True
        )
    }
