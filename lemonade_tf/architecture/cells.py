"""Networks that repeat one cell (search space II: sections 5.1 and A.4.2).

A network has k = 3 blocks of n cells of stride 1 and k - 1 cells of stride 2 between them, so k n +
(k - 1) cells. Each cell takes the concatenated outputs of the two cells before it as input. The
number of filters doubles where the resolution is halved, up to F in the last block, so the first
block has F / 4. What the paper leaves to Liu et al. (2017, "Progressive neural architecture
search") or leaves open is as follows:

- A cell of stride 2 pools its input (2x2 max pooling), as the blocks of space I do. So does every
  cell with an input from before the downsampling. (Liu et al. give stride 2 to whatever consumes
  the cell's input.) With pooling before the cell, all cells are the same inside, no resolutions
  have to be aligned there, and an operator that applies to one cell applies to the others. Images
  of one pixel are not pooled.
- The stem is a 3x3 Conv-BatchNorm-ReLU block with the F / 4 filters of the first block. (Liu et al.
  have no ReLU in it: their cells start with one, these end with one.) The input of the first cell
  is the stem; that of the second is the first cell and the stem.
- The numbers of filters inside a cell are those of the first block, and two and four times as many
  in the other blocks. So the doubling stays exact: 4/3 of 32 filters are 43, and 86 and 172 in the
  other blocks. For another F, every number in the first block is multiplied by the ratio and
  rounded, to at least 1.

A network is a graph like any other; its cells are recognized by the names of its nodes:
cell_3_conv_1 is conv_1 in the third cell, cell_3_input the concatenation that is its input, and
pool_2 the pooled output of the second cell. `extract_cell` returns (cell, n, F) of a network, and
`cell_network` builds the network from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TypeVar

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
INPUT = "input"  # the name of a cell's input inside the cell
_STEM = "stem_relu"
_GROWTH = 2 ** (NUM_BLOCKS - 1)  # of the number of filters, from the first block to the last

AnyLayer = TypeVar("AnyLayer", bound=Layer)


class CellError(GraphError):
    """A graph does not repeat one cell, or no network can be built from a cell as requested."""


# --- A cell ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """The part that a network repeats, with the numbers of filters of the first block.

    Attributes:
        nodes: Nodes without weights by their names inside the cell; its input is called "input".
        output: The name of the node that is the output of the cell.
        filters: The F of networks whose first block has these numbers of filters.
    """

    nodes: Mapping[str, Node]
    output: str
    filters: int

    @cached_property
    def graph(self) -> Graph:
        """The cell as a graph whose input is an image of one pixel and one channel."""
        return Graph.from_nodes({INPUT: Node(Input((1, 1, 1))), **self.nodes}, self.output)

    @cached_property
    def carries_input(self) -> frozenset[str]:
        """The nodes whose output contains channels of the cell's input.

        Their number of channels is not proportional to F.
        """
        found = {INPUT}  # absorbers start new channels; all other layers pass them on
        for name in self.graph.topological_order()[1:]:
            node = self.nodes[name]
            if not isinstance(node.layer, ABSORBERS) and found.intersection(node.inputs):
                found.add(name)
        return frozenset(found)

    @cached_property
    def feeds_output(self) -> frozenset[str]:
        """The nodes whose channels are contained in the cell's output."""
        found = {self.output}
        for name in reversed(self.graph.topological_order()[1:]):
            if name in found and not isinstance(self.nodes[name].layer, ABSORBERS):
                found.update(self.nodes[name].inputs)
        return frozenset(found)

    def scaled(self, filters: int) -> Cell:
        """Return the cell for networks with another F.

        Numbers of channels that have to be equal, such as those of the inputs of a sum, stay equal,
        because whole channel groups are scaled; see `channel_groups`.
        """
        groups, nodes = channel_groups(self.graph), {}
        sizes = {g: max(1, round(s * filters / self.filters)) for g, s in groups.sizes.items()}
        for name, node in self.nodes.items():
            layer = node.layer
            if isinstance(layer, Conv2D | SeparableConv2D):
                layer = replace(layer, filters=sum(sizes[run.group] for run in groups.runs[name]))
            nodes[name] = Node(layer, node.inputs)
        return Cell(nodes, self.output, filters)


# --- Numbers and names -------------------------------------------------------------------------


def num_cells(cells_per_block: int) -> int:
    """Return the number of cells of a network: k n + (k - 1)."""
    return NUM_BLOCKS * cells_per_block + NUM_BLOCKS - 1


def block_index(number: int, cells_per_block: int) -> int:
    """Return the index, from 0, of the block whose filter counts a cell has.

    Args:
        number: The number of the cell, from 1; 0 for the stem. A cell of stride 2 belongs to the
            block after it.
        cells_per_block: n.
    """
    return number // (cells_per_block + 1)


def name_prefix(number: int) -> str:
    """Return the prefix of the names of the nodes in a cell."""
    return f"cell_{number}_"


def network_name(number: int, local: str) -> str:
    """Return the name that a node of a cell has in the network."""
    return _STEM if number == 1 and local == INPUT else name_prefix(number) + local


def local_name(number: int, name: str) -> str | None:
    """Return the name that a node of the network has in a cell; None if it is not in it."""
    if number == 1 and name == _STEM:
        return INPUT
    prefix = name_prefix(number)
    return name.removeprefix(prefix) if name.startswith(prefix) else None


def is_cell_input(name: str) -> bool:
    """Return whether a node is by its name the concatenation that is the input of a cell."""
    number = _cell_number(name)
    return number > 1 and name == network_name(number, INPUT)


def _cell_number(name: str) -> int:
    """Return the number of the cell to which a node belongs by its name; 0 if to none."""
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
    """Build the network of a cell, without weights.

    Args:
        cell: The cell.
        cells_per_block: n, the cells of stride 1 in each block.
        filters: F, a multiple of 4.
        input_shape: (height, width, channels) of the images.
        num_classes: The number of classes.
        rescaling: Normalizes raw pixels, 0 to 255.
        normalization: The batch norm of the stem.

    Raises:
        CellError: If n is not positive or F is not a positive multiple of 4.
    """
    check_sizes(cells_per_block, filters)
    if filters != cell.filters:
        cell = cell.scaled(filters)
    nodes = {
        "input": Node(Input(tuple(input_shape))),
        "rescaling": Node(rescaling, ("input",)),
        "stem_conv": Node(Conv2D(filters // _GROWTH, 3), ("rescaling",)),
        "stem_bn": Node(normalization, ("stem_conv",)),
        _STEM: Node(ReLU(), ("stem_bn",)),
    }
    last = num_cells(cells_per_block)
    pooled_blocks = _pooled_blocks(min(input_shape[:2]))
    outputs = {0: _STEM}
    for number in range(1, last + 1):
        block = block_index(number, cells_per_block)
        if number > 1:  # the input of the first cell is the stem
            inputs = []
            for before in (number - 1, number - 2):
                source = outputs[before]
                # Two cells can consume a cell before the halving; they share its pooled output.
                if block_index(before, cells_per_block) < block and block in pooled_blocks:
                    nodes.setdefault(f"pool_{before}", Node(MaxPooling2D(2), (source,)))
                    source = f"pool_{before}"
                inputs.append(source)
            nodes[network_name(number, INPUT)] = Node(Concatenate(), tuple(inputs))
        for local, node in cell.nodes.items():
            inputs = tuple(network_name(number, i) for i in node.inputs)
            nodes[network_name(number, local)] = Node(in_block(node.layer, 2**block), inputs)
        outputs[number] = network_name(number, cell.output)
    nodes["global_pool"] = Node(GlobalAveragePooling2D(), (outputs[last],))
    nodes["logits"] = Node(Dense(num_classes), ("global_pool",))
    nodes["softmax"] = Node(Activation("softmax"), ("logits",))
    return Graph.from_nodes(nodes, "softmax")


def check_sizes(cells_per_block: int, filters: int) -> None:
    """Check the numbers of cells per block and of filters in the last block.

    Raises:
        CellError: If n is not positive or F is not a positive multiple of 4.
    """
    if cells_per_block < 1:
        raise CellError(f"cells_per_block is {cells_per_block}; expected at least 1.")
    if filters < _GROWTH or filters % _GROWTH:
        raise CellError(
            f"filters is {filters}; expected a positive multiple of {_GROWTH}, because the first of"
            f" {NUM_BLOCKS} blocks has filters / {_GROWTH}."
        )


def _pooled_blocks(side: int) -> frozenset[int]:
    """Return the blocks before which images are pooled: while they have two pixels per side."""
    return frozenset(block for block in range(1, NUM_BLOCKS) if side >> (block - 1) >= 2)


@lru_cache(maxsize=65536)
def in_block(layer: Layer, factor: int) -> Layer:
    """Return a layer of the first block as it is in a block with `factor` times the filters."""
    if factor > 1 and isinstance(layer, Conv2D | SeparableConv2D):
        return replace(layer, filters=layer.filters * factor)
    return layer


def extract_cell(graph: Graph) -> tuple[Cell, int, int]:
    """Return (cell, n, F) of a network of cells.

    Raises:
        CellError: If the graph does not consist of cells, or these differ; the message names a
            node.
    """
    return graph.cached("cell", _extract_cell)


def _extract_cell(graph: Graph) -> tuple[Cell, int, int]:
    rescaling = _expect(graph, "rescaling", Rescaling)
    stem = _expect(graph, "stem_conv", Conv2D)
    normalization = _expect(graph, "stem_bn", BatchNormalization)
    logits = _expect(graph, "logits", Dense)
    number = max(map(_cell_number, graph))
    cells_per_block, rest = divmod(number - (NUM_BLOCKS - 1), NUM_BLOCKS)
    if rest or cells_per_block < 1:
        raise CellError(
            f"the network has {number} cells; expected {NUM_BLOCKS} n + {NUM_BLOCKS - 1}, such as"
            f" {num_cells(1)}, {num_cells(2)} or {num_cells(3)}."
        )
    filters = stem.filters * _GROWTH
    cell = Cell(dict(_first_cell(graph)), _first_output(graph), filters)
    # Rebuild the network from its first cell and compare it node by node.
    expected = cell_network(
        cell,
        cells_per_block=cells_per_block,
        filters=filters,
        input_shape=_expect(graph, graph.input, Input).shape,
        num_classes=logits.units,
        rescaling=rescaling,
        normalization=normalization,
    )
    actual, wanted = dict(graph.items()), dict(expected.items())
    for name in {**wanted, **actual}:
        found, right = actual.get(name), wanted.get(name)
        if not (found and right and (found.layer, found.inputs) == (right.layer, right.inputs)):
            raise CellError(
                f"the cells of the network differ: layer {name!r} is {_describe_node(found)};"
                f" expected {_describe_node(right)}, as in the first cell."
            )
    return cell, cells_per_block, filters


def _expect(graph: Graph, name: str, kind: type[AnyLayer]) -> AnyLayer:
    """Return the layer of a node that has to be of a kind."""
    layer = graph[name].layer if name in graph else None
    if not isinstance(layer, kind):
        raise CellError(
            f"the network does not consist of cells: it has no {kind.__name__} {name!r}."
        )
    return layer


def _first_cell(graph: Graph) -> Iterator[tuple[str, Node]]:
    """Yield the nodes of the first cell under their names inside it."""
    for name, node in graph.items():
        if name != _STEM and (local := local_name(1, name)) is not None:
            yield local, Node(node.layer, tuple(local_name(1, i) or i for i in node.inputs))


def _first_output(graph: Graph) -> str:
    """Return the name inside the first cell of its output, which is an input of the second."""
    joined = network_name(2, INPUT)
    name = graph[joined].inputs[0] if joined in graph else ""
    if name == "pool_1" and name in graph:
        name = graph[name].inputs[0]
    return local_name(1, name) or name


def _describe_node(node: Node | None) -> str:
    return "missing" if node is None else f"{node.layer} of {', '.join(node.inputs) or 'nothing'}"
