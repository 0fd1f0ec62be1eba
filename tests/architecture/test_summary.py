"""Tables of networks: aligned, bounded, and with only the arguments that differ from defaults."""

import re

import pytest
from graphs import every_layer, small

from lemonade_tf.architecture import Graph, Node
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.graph import MAX_NODES_IN_REPR
from lemonade_tf.architecture.summary import describe_layer


def test_table_has_a_line_per_node_in_topological_order():
    graph = every_layer()
    header, *lines = repr(graph).splitlines()
    assert header == "Graph: 29 layers, 1,651 parameters"
    assert [line.split()[0] for line in lines] == list(graph.topological_order())
    text = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert text["image"] == "Input(shape=(9, 8, 2)) 9x8x2 0"
    assert text["conv"] == (
        "Conv2D(filters=6, kernel_size=(3, 5), use_bias=True) 9x8x6 186 <- normal"
    )
    assert text["norm"] == "BatchNormalization() 9x8x6 24 <- conv"
    assert text["sum"] == "Add() 5x4x12 0 <- max, average"
    assert text["mix"] == "ConvexSum() 5x4x12 0 <- relu, sum"
    assert text["softmax"] == "Activation(activation=softmax) 3 0 <- row"


def test_columns_are_aligned():
    lines = repr(small()).splitlines()[1:]
    assert len({line.index("(") - len(re.match(r"\w+ +\w+", line)[0]) for line in lines}) == 1
    assert len({len(line.partition("  <-")[0]) for line in lines}) == 1


def test_repr_of_a_large_graph_leaves_out_the_middle():
    graph = Graph()
    at = graph.add("input", L.Input((4, 4, 2)))
    for number in range(MAX_NODES_IN_REPR + 9):
        at = graph.add(f"relu_{number}", L.ReLU(), [at])
    header, *lines = repr(graph).splitlines()
    assert header == f"Graph: {MAX_NODES_IN_REPR + 10} layers, 0 parameters"
    assert len(lines) == MAX_NODES_IN_REPR + 1
    assert lines[MAX_NODES_IN_REPR // 2] == "... 10 more layers ..."
    assert (lines[0].split()[0], lines[-1].split()[0]) == ("input", at)
    assert len(graph.summary().splitlines()) == len(graph) + 1


def test_empty_graph():
    assert repr(Graph()) == "Graph: 0 layers, 0 parameters"


@pytest.mark.parametrize(
    ("nodes", "problem"),
    [
        ({"a": Node(L.ReLU(), ("b",)), "b": Node(L.ReLU(), ("a",))}, "the graph has a cycle"),
        ({"a": Node(L.ReLU(), ("lost",))}, "lost"),
        (
            {"a": Node(L.Input((3,))), "b": Node(L.Conv2D(3), ("a",))},
            "layer 'b': Conv2D got an input of shape (3,)",
        ),
    ],
)
def test_broken_graph_is_shown_with_its_problem(nodes, problem):
    header, *lines = repr(Graph.from_nodes(nodes, "a")).splitlines()
    assert header.startswith(f"Graph: {len(nodes)} layers; broken: ")
    assert problem in header
    assert [line.split()[0] for line in lines] == list(nodes)
    assert all("?" in line for line in lines)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (L.MaxPooling2D(2), "MaxPooling2D()"),
        (L.MaxPooling2D(3), "MaxPooling2D(pool_size=3)"),
        (L.MaxPooling2D(2, 1), "MaxPooling2D(strides=1)"),
        (L.MaxPooling2D((2, 3), padding="same"), "MaxPooling2D(pool_size=(2, 3), padding=same)"),
        (L.Conv2D(6), "Conv2D(filters=6)"),
        (L.Conv2D(6, 2, strides=2), "Conv2D(filters=6, kernel_size=2, strides=2)"),
        (L.ReLU(6), "ReLU(max_value=6.0)"),
        (L.Add(), "Add()"),
    ],
)
def test_layers_are_shown_without_defaults(layer, text):
    assert describe_layer(layer) == text
