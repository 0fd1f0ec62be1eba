"""Boxes and their text; every node and every edge is drawn once."""

from collections import Counter
from itertools import pairwise

import pytest
from graphs import GRAPHS, decoding, every_layer, small

from lemonade_tf.architecture import LAYERS, Graph
from lemonade_tf.architecture import layers as L
from lemonade_tf.drawing.boxes import build_diagram


@pytest.mark.parametrize("name", GRAPHS)
def test_every_node_and_every_edge_is_drawn_once(name):
    graph = GRAPHS[name]()
    diagram = build_diagram(graph)
    holder = {node: at for at, box in enumerate(diagram.boxes) for node in box.nodes}
    assert sorted(holder) == sorted(graph)
    assert sum(len(box.nodes) for box in diagram.boxes) == len(graph)
    inside = Counter()
    for box in diagram.boxes:
        for before, after in pairwise(box.nodes):
            assert graph[after].inputs == (before,)
            assert graph.consumers(before) == (after,)
            inside[before, after] += 1
    edges = Counter((source, node) for node in graph for source in graph[node].inputs)
    between = Counter((holder[a], holder[b]) for a, b in (edges - inside).elements())
    assert between == Counter(diagram.arrows)
    assert all(source < target for source, target in diagram.arrows)


def texts(graph):
    return [(box.title, box.detail) for box in build_diagram(graph).boxes]


def test_boxes_of_a_network_are_its_blocks():
    assert texts(small()) == [
        ("input", "rescaling → 8x8x3"),
        ("conv 3x3, 6", "BN, ReLU → 8x8x6"),
        ("max pool 2x2", "→ 4x4x6"),
        ("sep conv 3x3, 8", "BN, ReLU → 4x4x8"),
        ("max pool 2x2", "→ 2x2x8"),
        ("conv 3x3, 10", "BN, ReLU → 2x2x10"),
        ("global average pool", "→ 10"),
        ("dense, 4", "softmax"),
    ]


def test_titles_of_every_kind_of_layer():
    graph = every_layer()
    both = (*graph.items(), *decoding(stock=False).items())
    assert {type(node.layer) for _, node in both} == set(LAYERS)
    lam = float(graph["mix"].weights["lambda"])
    assert dict(texts(graph)) == {
        "input": "rescaling, normalization → 9x8x2",
        "conv 3x5, 6": "BN, tanh → 9x8x6",
        "depthwise conv 3x3, x2": "ReLU ≤ 6 → 9x8x12",
        "max pool 3x3, stride 2": "→ 5x4x12",
        "average pool 2x2": "→ 5x4x12",
        "sum": "",
        "sep conv 3x3 (x2), 12": "ReLU → 5x4x12",
        f"convex sum, λ = {lam:.2g}": "",
        "concat": "dropout 0.3 → 44",  # the second of two
        "conv 2x2, 5, stride 2": "→ 2x2x5",
        "global average pool": "→ 24",
        "flatten": "→ 20",
        "dense, 7": "",
        "dense, 3": "",
        "zero padding": "→ 10x10x12",
        "cropping": "→ 9x8x12",
        "product": "→ 9x8x12",
        "reshape": "softmax → 3",
    }


def test_graph_without_weights_shows_no_lambda():
    assert ("convex sum", "") in texts(every_layer().copy(weights=False))


def test_node_with_two_consumers_is_the_last_in_its_box():
    graph = Graph()
    graph.add("input", L.Input((4, 4, 2)))
    graph.add("conv", L.Conv2D(2), ["input"])
    graph.add("bn", L.BatchNormalization(), ["conv"])
    graph.add("relu", L.ReLU(), ["bn"])
    graph.output = graph.add("sum", L.Add(), ["relu", "bn"])
    diagram = build_diagram(graph)
    assert [box.nodes for box in diagram.boxes] == [
        ("input",),
        ("conv", "bn"),
        ("relu",),
        ("sum",),
    ]
    assert sorted(diagram.arrows) == [(0, 1), (1, 2), (1, 3), (2, 3)]


def test_cell_that_starts_and_ends_with_a_relu():
    graph = Graph()
    graph.add("input", L.Input((4, 4, 2)))
    graph.add("relu", L.ReLU(), ["input"])
    graph.add("conv", L.Conv2D(3, strides=(1, 2)), ["relu"])
    graph.add("twice", L.Add(), ["conv", "conv"])
    graph.add("both", L.Concatenate(), ["twice", "conv"])
    graph.output = graph.add("last", L.Activation("relu"), ["both"])
    diagram = build_diagram(graph)
    assert [(box.title, box.detail) for box in diagram.boxes] == [
        ("input", "→ 4x4x2"),
        ("ReLU", ""),
        ("conv 3x3, 3, strides 1x2", "→ 4x2x3"),
        ("sum", ""),
        ("concat", "ReLU → 4x2x6"),
    ]
    assert Counter(diagram.arrows)[2, 3] == 2
