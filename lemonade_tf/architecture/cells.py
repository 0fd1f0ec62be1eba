"""Networks that repeat one cell (search space II: sections 5.1 and A.4.2).

A network has k = 3 blocks of n cells of stride 1 and k - 1 cells of stride 2 between them, k n +
(k - 1) in all. They are stacked: a cell reads the concatenated outputs of the two before it. The
filters double where the resolution is halved, to F in the last block; so there are F / 4 in the
first. What the paper leaves to Liu et al. (2017, "Progressive neural architecture search"), or
open, is here so:

- A cell of stride 2 reads its input through 2x2 max pooling, as the blocks of space I do, and so
  does every cell one of whose two inputs comes from before the halving. Liu et al. give stride 2 to
  whatever reads the cell's input. With pooling before it, all cells are the same inside: nothing
  has to be aligned there, and an operator that applies in one cell applies in the others. Where
  the image has one pixel left, nothing is pooled.
- The stem is a 3x3 Conv-BatchNorm-ReLU block with the F / 4 filters of the first block (Liu et al.
  have no ReLU in it: their cells begin with one, those here end with one). The first cell reads the
  stem alone, the second the first and the stem.
- The numbers of filters in a cell are those of the first block, and twice and four times as many in
  the others. So doubling stays exact: 4/3 of 32 filters are 43, and 86 and 172 in the other blocks.
  With another F, every number is that of the first block times the ratio, rounded, at least 1.

A network is a graph like any other. Its nodes tell its cells by their names: cell_3_conv_1 is
conv_1 in the third cell, cell_3_input the concatenation that it reads, pool_2 the pooled output of
the second cell. `extract_cell` reads (cell, n, F) off a network, `cell_network` makes it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from lemonade_tf.architecture.channel_edits import ABSORBERS
from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.architecture.graph import Graph, GraphError, Node
from lemonade_tf.architecture.layers import (
    Activation,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    GlobalAveragePooling2D,
    Input,
    Layer,
    MaxPooling2D,
    ReLU,
    Rescaling,
    SeparableConv2D,
    Shape,
)

NUM_BLOCKS = 3
INPUT = "input"  # what a cell reads, among the names inside it
_STEM = "stem_relu"
_AROUND = {
    "rescaling": Rescaling,
    "stem_conv": Conv2D,
    "stem_bn": BatchNormalization,
    "logits": Dense,
}
_WIDENING = 2 ** (NUM_BLOCKS - 1)  # from the first block to the last


class CellError(GraphError):
    """A graph is not made of one cell, or a cell cannot be used as asked."""


# --- A cell ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """What is repeated, as it is in the first block.

    Attributes:
        nodes: Layers without weights by their names inside the cell, with the filters that they
            have in the first block; what the cell reads is called "input".
        output: The name of the node that others read.
        filters: The F of networks whose first block has these numbers of filters.
    """

    nodes: Mapping[str, Node]
    output: str
    filters: int

    @cached_property
    def graph(self) -> Graph:
        """The cell as a graph, on an image of one pixel and one channel."""
        return Graph.from_nodes({INPUT: Node(Input((1, 1, 1))), **self.nodes}, self.output)

    @cached_property
    def from_input(self) -> frozenset[str]:
        """Nodes with channels of the cell's input, whose number is not a multiple of F."""
        found = {INPUT}
        for name in self.graph.topological_order()[1:]:
            node = self.nodes[name]
            if not isinstance(node.layer, ABSORBERS) and found.intersection(node.inputs):
                found.add(name)
        return frozenset(found)

    @cached_property
    def into_output(self) -> frozenset[str]:
        """Nodes whose channels are among those of the cell's output."""
        found = {self.output}
        for name in reversed(self.graph.topological_order()[1:]):
            if name in found and not isinstance(self.nodes[name].layer, ABSORBERS):
                found.update(self.nodes[name].inputs)
        return frozenset(found)

    def scaled(self, filters: int) -> Cell:
        """Return the cell for networks with another F.

        Channels that sums tie to each other stay equal in number: it is the groups of channels
        (see `groups`) that are scaled.
        """
        groups, nodes = channel_groups(self.graph), {}
        sizes = {g: max(1, round(s * filters / self.filters)) for g, s in groups.sizes.items()}
        for name, node in self.nodes.items():
            layer = node.layer
            if isinstance(layer, Conv2D | SeparableConv2D):
                layer = replace(layer, filters=sum(sizes[run.group] for run in groups.runs[name]))
            nodes[name] = Node(layer, node.inputs)
        return Cell(nodes, self.output, filters)


# --- Where a cell is ---------------------------------------------------------------------------


def num_cells(cells_per_block: int) -> int:
    """Return how many cells a network has: k n + (k - 1)."""
    return NUM_BLOCKS * cells_per_block + NUM_BLOCKS - 1


def block_index(number: int, cells_per_block: int) -> int:
    """Return the block, from 0, whose filters a cell has; cells count from 1, and 0 is the stem.

    A cell of stride 2 has as many as the block behind it.
    """
    return number // (cells_per_block + 1)


def prefix(number: int) -> str:
    """Return what the names of the nodes in a cell begin with."""
    return f"cell_{number}_"


def network_name(number: int, local: str) -> str:
    """Return the name in the network of a node inside a cell."""
    return _STEM if number == 1 and local == INPUT else f"cell_{number}_{local}"


def local_name(number: int, name: str) -> str | None:
    """Return the name inside a cell of a node of the network; None for a node outside it."""
    if number == 1 and name == _STEM:
        return INPUT
    begin = prefix(number)
    return name.removeprefix(begin) if name.startswith(begin) else None


def _number_of(name: str) -> int:
    """Return in which cell a node is by its name; 0 for a node outside all cells."""
    head, _, rest = name.partition("_")
    number = rest.partition("_")[0]
    return int(number) if head == "cell" and number.isdigit() else 0


# --- A network ---------------------------------------------------------------------------------


def cell_network(
    cell: Cell,
    *,
    cells_per_block: int,
    filters: int,
    input_shape: Shape,
    num_classes: int,
    rescaling: Rescaling,
    normalization: BatchNormalization,
) -> Graph:
    """Return the network of a cell, without weights.

    Args:
        cell: The cell.
        cells_per_block: n, the cells of stride 1 in each block.
        filters: F, a multiple of 4.
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        rescaling: What raw pixels, 0 to 255, go through first.
        normalization: The batch norm of the stem.

    Raises:
        CellError: n or F makes no network.
    """
    if cells_per_block < 1:
        raise CellError(f"cells_per_block is {cells_per_block}; expected at least 1.")
    if filters < _WIDENING or filters % _WIDENING:
        raise CellError(
            f"filters is {filters}; expected a multiple of {_WIDENING}, because the first of"
            f" {NUM_BLOCKS} blocks has {filters} / {_WIDENING} of them."
        )
    if filters != cell.filters:
        cell = cell.scaled(filters)
    nodes = {
        "input": Node(Input(tuple(input_shape))),
        "rescaling": Node(rescaling, ("input",)),
        "stem_conv": Node(Conv2D(filters // _WIDENING, 3), ("rescaling",)),
        "stem_bn": Node(normalization, ("stem_conv",)),
        _STEM: Node(ReLU(), ("stem_bn",)),
    }
    last = num_cells(cells_per_block)
    halved = _halvings(min(input_shape[:2]))
    outputs = {0: _STEM}
    for number in range(1, last + 1):
        block = block_index(number, cells_per_block)
        if number > 1:
            inputs = []
            for before in (number - 1, number - 2):
                source = outputs[before]
                if block_index(before, cells_per_block) < block and block in halved:
                    nodes.setdefault(f"pool_{before}", Node(MaxPooling2D(2), (source,)))
                    source = f"pool_{before}"
                inputs.append(source)
            nodes[network_name(number, INPUT)] = Node(Concatenate(), tuple(inputs))
        for local, node in cell.nodes.items():
            inputs = tuple(network_name(number, i) for i in node.inputs)
            nodes[network_name(number, local)] = Node(_widened(node.layer, 2**block), inputs)
        outputs[number] = network_name(number, cell.output)
    nodes["global_pool"] = Node(GlobalAveragePooling2D(), (outputs[last],))
    nodes["logits"] = Node(Dense(num_classes), ("global_pool",))
    nodes["softmax"] = Node(Activation("softmax"), ("logits",))
    return Graph.from_nodes(nodes, "softmax")


def _halvings(side: int) -> frozenset[int]:
    """Return the blocks before which images are pooled: where they have two pixels a side."""
    return frozenset(block for block in range(1, NUM_BLOCKS) if side >> (block - 1) >= 2)


@lru_cache(maxsize=65536)
def _widened(layer: Layer, factor: int) -> Layer:
    """Return a layer of the first block as it is in a block with so many times the filters."""
    if factor > 1 and isinstance(layer, Conv2D | SeparableConv2D):
        return replace(layer, filters=layer.filters * factor)
    return layer


def extract_cell(graph: Graph) -> tuple[Cell, int, int]:
    """Return (cell, n, F) of a network of cells.

    Raises:
        CellError: It is none, or its cells are not alike; the message names a node.
    """
    return graph.cached("cell", _cell_of)


def _cell_of(graph: Graph) -> tuple[Cell, int, int]:
    for name, kind in _AROUND.items():
        if name not in graph or not isinstance(graph[name].layer, kind):
            raise CellError(
                f"this network is not made of cells: it has no {kind.__name__} {name!r}."
            )
    number = max(map(_number_of, graph))
    cells_per_block, rest = divmod(number - (NUM_BLOCKS - 1), NUM_BLOCKS)
    if rest or cells_per_block < 1:
        raise CellError(
            f"the network has {number} cells; expected {num_cells(1)}, {num_cells(2)},"
            f" {num_cells(3)} or so: {NUM_BLOCKS} times n, and {NUM_BLOCKS - 1} between."
        )
    filters = graph["stem_conv"].layer.filters * _WIDENING
    cell = Cell(dict(_first(graph)), _first_output(graph), filters)
    expected = cell_network(
        cell,
        cells_per_block=cells_per_block,
        filters=filters,
        input_shape=graph[graph.input].layer.shape,
        num_classes=graph["logits"].layer.units,
        rescaling=graph["rescaling"].layer,
        normalization=graph["stem_bn"].layer,
    )
    there, wanted = dict(graph.items()), dict(expected.items())
    for name in {**wanted, **there}:
        found, right = there.get(name), wanted.get(name)
        if not (found and right and (found.layer, found.inputs) == (right.layer, right.inputs)):
            raise CellError(
                f"the cells of the network are not alike: node {name!r} is {_shown(found)}; going"
                f" by the first cell, it should be {_shown(right)}."
            )
    return cell, cells_per_block, filters


def _first(graph: Graph) -> Iterator[tuple[str, Node]]:
    """Yield the nodes of the first cell under their names inside it."""
    for name, node in graph.items():
        if name != _STEM and (local := local_name(1, name)) is not None:
            yield local, Node(node.layer, tuple(local_name(1, i) or i for i in node.inputs))


def _first_output(graph: Graph) -> str:
    """Return the name inside the first cell of what the second reads of it."""
    joined = network_name(2, INPUT)
    at = graph[joined].inputs[0] if joined in graph else ""
    if at == "pool_1" and at in graph:
        at = graph[at].inputs[0]
    return local_name(1, at) or at


def _shown(node: Node | None) -> str:
    return "missing" if node is None else f"{node.layer} of {', '.join(node.inputs) or 'nothing'}"
