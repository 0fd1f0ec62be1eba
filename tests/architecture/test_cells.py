"""Networks of cells: built from (cell, n, F), and these extracted from them."""

import pytest
from graphs import cells
from hypothesis import given, settings
from hypothesis import strategies as st

from lemonade_tf.architecture import Node, check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.cells import (
    Cell,
    CellError,
    block_index,
    cell_network,
    extract_cell,
    network_name,
    num_cells,
)
from lemonade_tf.architecture.text import from_json, to_json

NORMALIZATION = L.BatchNormalization(momentum=0.9)


def one_convolution(filters=128, kind=L.Conv2D):
    nodes = {
        "conv_1": Node(kind(filters // 4, 3), ("input",)),
        "bn_1": Node(NORMALIZATION, ("conv_1",)),
        "relu_1": Node(L.ReLU(), ("bn_1",)),
    }
    return Cell(nodes, "relu_1", filters)


def network(cell, n=2, filters=None, shape=(32, 32, 3), classes=10):
    return cell_network(
        cell,
        cells_per_block=n,
        filters=filters or cell.filters,
        input_shape=shape,
        num_classes=classes,
        rescaling=L.Rescaling(0.01),
        normalization=NORMALIZATION,
    )


def sides(graph, count):
    return [graph.shapes()[f"cell_{n}_relu_1"][0] for n in range(1, count + 1)]


def filters(graph, count, local="conv_1"):
    return [graph[f"cell_{n}_{local}"].layer.filters for n in range(1, count + 1)]


# --- Building ------------------------------------------------------------------------------------


def test_filters_double_where_the_resolution_is_halved():
    graph = network(one_convolution())
    check(graph)
    assert num_cells(2) == 8
    assert sides(graph, 8) == [32, 32, 16, 16, 16, 8, 8, 8]
    assert filters(graph, 8) == [32, 32, 64, 64, 64, 128, 128, 128]
    assert graph["stem_conv"].layer == L.Conv2D(32, 3)
    assert "cell_9_conv_1" not in graph


def test_input_of_a_cell_is_the_two_cells_before_it():
    graph = network(one_convolution())
    assert graph["cell_1_conv_1"].inputs == ("stem_relu",)
    assert graph["cell_2_input"].inputs == ("cell_1_relu_1", "stem_relu")
    assert graph["cell_3_input"].inputs == ("pool_2", "pool_1")
    assert graph["cell_4_input"].inputs == ("cell_3_relu_1", "pool_2")
    assert graph["cell_5_input"].inputs == ("cell_4_relu_1", "cell_3_relu_1")
    assert graph["cell_6_input"].inputs == ("pool_5", "pool_4")
    assert graph["pool_2"] == Node(L.MaxPooling2D(2), ("cell_2_relu_1",))
    assert graph["global_pool"].inputs == ("cell_8_relu_1",)
    assert [n for n in graph if n.startswith("pool_")] == ["pool_2", "pool_1", "pool_5", "pool_4"]
    assert all(isinstance(graph[f"cell_{n}_input"].layer, L.Concatenate) for n in range(2, 9))


def test_one_cell_per_block():
    graph = network(one_convolution(), n=1)
    check(graph)
    assert sides(graph, 5) == [32, 16, 16, 8, 8]
    assert graph["cell_2_input"].inputs == ("pool_1", "pool_0")
    assert graph["pool_0"].inputs == ("stem_relu",)
    assert graph["cell_3_input"].inputs == ("cell_2_relu_1", "pool_1")


@pytest.mark.parametrize(
    ("n", "blocks"),
    [(1, [0, 1, 1, 2, 2]), (2, [0, 0, 1, 1, 1, 2, 2, 2]), (4, [0] * 4 + [1] * 5 + [2] * 5)],
)
def test_cell_of_stride_2_has_the_filters_of_the_next_block(n, blocks):
    assert [block_index(number, n) for number in range(1, num_cells(n) + 1)] == blocks
    assert block_index(0, n) == 0


@pytest.mark.parametrize(
    ("side", "expected"), [(8, [8, 4, 2]), (4, [4, 2, 1]), (3, [3, 1, 1]), (2, [2, 1, 1])]
)
def test_small_images_are_pooled_while_there_are_two_pixels(side, expected):
    graph = network(one_convolution(16), shape=(side, side + 1, 1))
    check(graph)
    assert [sides(graph, 8)[i] for i in (0, 3, 7)] == expected
    assert filters(graph, 8)[-1] == 16


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"n": 0}, "cells_per_block is 0; expected at least 1"),
        ({"filters": 30}, "filters is 30; expected a positive multiple of 4, because the first"),
        ({"filters": -4}, "filters is -4; expected a positive multiple of 4"),
    ],
)
def test_invalid_n_and_f_are_refused(given_, message):
    with pytest.raises(CellError, match=message):
        network(one_convolution(), **given_)


# --- Other numbers of filters --------------------------------------------------------------------


def test_every_number_of_filters_scales_with_f():
    cell = one_convolution(128)
    cell = Cell({**cell.nodes, "conv_1": Node(L.Conv2D(43, 3), ("input",))}, "relu_1", 128)
    assert filters(network(cell), 8) == [43, 43, 86, 86, 86, 172, 172, 172]
    assert filters(network(cell, filters=256), 8) == [86, 86, 172, 172, 172, 344, 344, 344]
    assert filters(network(cell, filters=64), 8) == [22, 22, 44, 44, 44, 88, 88, 88]  # round(21.5)
    assert filters(network(cell, filters=4), 8) == [1, 1, 2, 2, 2, 4, 4, 4]


def test_tied_channels_stay_equal_in_number():
    """3 and 3 filters side by side, added to 6: rounded alone they would be 2, 2 and 3."""
    nodes = {}

    def block(number, filters, source):
        nodes[f"conv_{number}"] = Node(L.Conv2D(filters, 3), (source,))
        nodes[f"bn_{number}"] = Node(NORMALIZATION, (f"conv_{number}",))
        nodes[f"relu_{number}"] = Node(L.ReLU(), (f"bn_{number}",))

    block(1, 3, "input")
    block(2, 3, "relu_1")
    nodes["both"] = Node(L.Concatenate(), ("relu_2", "relu_1"))
    block(3, 6, "both")
    nodes["sum"] = Node(L.ConvexSum(), ("relu_3", "both"))
    graph = network(Cell(nodes, "sum", 16).scaled(8))
    check(graph)
    assert [graph[f"cell_1_conv_{number}"].layer.filters for number in (1, 2, 3)] == [2, 2, 4]


# --- Extracting ----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.sampled_from([1, 2, 3]),
    factor=st.sampled_from([1, 2, 3]),
    shape=st.sampled_from([(8, 8, 1), (5, 9, 3), (2, 2, 2), (33, 32, 3)]),
)
def test_extract_cell_inverts_cell_network(seed, n, factor, shape):
    cell, there, found = extract_cell(cells(seed, length=seed % 6))
    assert (there, found) == (2, cell.filters)
    graph = network(cell, n=n, filters=factor * found, shape=shape)
    check(graph)
    again, *numbers = extract_cell(graph)
    assert numbers == [n, factor * found]
    assert again == cell.scaled(factor * found)
    assert extract_cell(from_json(to_json(graph)))[0] == again


def test_extracted_cell_has_the_filters_of_the_first_block():
    assert extract_cell(network(one_convolution(128))) == (one_convolution(128), 2, 128)
    assert extract_cell(network(one_convolution(128), n=4, filters=64)) == (
        one_convolution(64),
        4,
        64,
    )


def damaged(change):
    graph = network(one_convolution(16)).copy()
    change(graph)
    return graph


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.set_layer("cell_5_conv_1", L.Conv2D(9, 3)), "layer 'cell_5_conv_1' is Conv2D"),
        (lambda g: g.set_inputs("cell_2_conv_1", ["stem_relu"]), "layer 'cell_2_conv_1' is Conv2D"),
        (lambda g: g.set_inputs("global_pool", ["cell_7_relu_1"]), "layer 'global_pool'"),
        (lambda g: g.add("cell_4_relu_2", L.ReLU(), ["cell_4_relu_1"]), "expected missing"),
        (
            lambda g: g.add("cell_9_input", L.ReLU(), ["cell_8_relu_1"]),
            "has 9 cells; expected 3 n \\+ 2, such as 5, 8",
        ),
        (lambda g: g.set_layer("stem_conv", L.ReLU()), "it has no Conv2D 'stem_conv'"),
    ],
)
def test_network_whose_cells_differ_is_refused(change, message):
    with pytest.raises(CellError, match=message):
        extract_cell(damaged(change))


def test_network_without_cells_is_refused():
    graph = network(one_convolution(16))
    nodes = {
        "n" + name: Node(n.layer, tuple("n" + i for i in n.inputs)) for name, n in graph.items()
    }
    with pytest.raises(
        CellError, match="does not consist of cells: it has no Rescaling 'rescaling'"
    ):
        extract_cell(type(graph).from_nodes(nodes, "nsoftmax"))


def test_names():
    assert network_name(1, "input") == "stem_relu"
    assert network_name(2, "input") == "cell_2_input"
    assert network_name(12, "conv_3") == "cell_12_conv_3"


def test_nodes_that_carry_the_input_and_that_feed_the_output():
    cell = one_convolution()
    nodes = {**cell.nodes, "both": Node(L.Concatenate(), ("relu_1", "input"))}
    nodes["conv_2"] = Node(L.Conv2D(8, 3), ("both",))
    cell = Cell(nodes, "conv_2", 128)
    assert cell.carries_input == {"input", "both"}
    assert cell.feeds_output == {"conv_2"}
    cell = Cell(nodes, "both", 128)
    assert cell.feeds_output == {"both", "relu_1", "bn_1", "conv_1", "input"}
