"""Every invariant broken once, by hand."""

import numpy as np
import pytest
from graphs import GRAPHS, images, new_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import forward

from lemonade_tf.architecture import Graph, GraphError, Node, check
from lemonade_tf.architecture import layers as L


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_whole_graphs_pass(make):
    graph = make()
    check(graph)
    check(graph.copy(weights=False))
    check(graph.copy())


NODES = {
    "image": Node(L.Input((6, 6, 2))),
    "conv": Node(L.Conv2D(3), ("image",)),
    "bn": Node(L.BatchNormalization(), ("conv",)),
    "relu": Node(L.ReLU(), ("bn",)),
    "sum": Node(L.ConvexSum(), ("relu", "bn")),
}


def test_the_graph_that_is_broken_below_is_whole():
    check(Graph.from_nodes(NODES, "sum"))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"": Node(L.ReLU(), ("sum",))}, "'' is no name for a node; expected text without '/'"),
        ({"a/b": Node(L.ReLU(), ("sum",))}, "'a/b' is no name for a node"),
        ({3: Node(L.ReLU(), ("sum",))}, "3 is no name for a node"),
        ({"relu": Node("ReLU", ("bn",))}, "node 'relu': 'ReLU' is not a layer of lemonade_tf"),
        ({"relu": Node(L.ReLU(), ("nb",))}, "node 'relu' reads nb, which does not exist"),
        ({"relu": Node(L.ReLU(), ())}, "node 'relu': ReLU reads 1 inputs, not 0"),
        ({"relu": Node(L.ReLU(), ("bn", "bn"))}, "ReLU reads 1 inputs, not 2"),
        ({"sum": Node(L.Add(), ("bn",))}, "node 'sum': Add reads two or more inputs, not 1"),
        ({"sum": Node(L.ConvexSum(), ("bn", "bn", "bn"))}, "ConvexSum reads 2 inputs, not 3"),
        ({"image": Node(L.Input((6, 6, 2)), ("sum",))}, "node 'image': Input reads 0 inputs"),
        ({"other": Node(L.Input((6, 6, 2)))}, r"has one Input; this one has 2: \['image', 'other"),
        ({"conv": Node(L.Conv2D(3), ("relu",))}, "read each other in a circle: .*bn, conv, relu"),
        (
            {"idle": Node(L.ReLU(), ("bn",)), "idler": Node(L.ReLU(), ("idle",))},
            r"the output 'sum' does not depend on idle, idler; remove_unused\(\) removes such",
        ),
        ({"sum": Node(L.Add(), ("relu", "image"))}, "node 'sum': Add needs inputs of one shape"),
        (
            {"conv": Node(L.Conv2D(3, 9, padding="valid"), ("image",))},
            "node 'conv': Conv2D with a window",
        ),
    ],
    ids=lambda v: None if isinstance(v, str) else ",".join(map(str, v)),
)
def test_broken_wiring(nodes, message):
    with pytest.raises(GraphError, match=message):
        check(Graph.from_nodes({**NODES, **nodes}, "sum"))


def test_no_input():
    nodes = {n: node for n, node in NODES.items() if n != "image"}
    with pytest.raises(GraphError, match="node 'conv' reads image, which does not exist"):
        check(Graph.from_nodes(nodes, "sum"))
    with pytest.raises(GraphError, match="a graph has one Input; this one has 0"):
        check(Graph())


def test_no_output():
    with pytest.raises(GraphError, match=r"there is no node 'smu'\. Near to it: sum"):
        check(Graph.from_nodes(NODES, "smu"))
    graph = Graph()
    graph.add("image", L.Input((6, 6, 2)))
    with pytest.raises(GraphError, match=r"the graph has no output; set graph\.output"):
        check(graph)


def _with(name, **weights):
    """Return a weighted graph with some weights of a node replaced, or left out where None."""
    nodes = dict(new_weights(Graph.from_nodes(NODES, "sum")).items())
    new = {k: v for k, v in {**nodes[name].weights, **weights}.items() if v is not None}
    nodes[name] = Node(nodes[name].layer, nodes[name].inputs, new)
    return Graph.from_nodes(nodes, "sum")


def _frozen(value, dtype=np.float32):
    array = np.array(value, dtype)
    array.flags.writeable = False
    return array


def test_float64_and_float16_are_floating_point():
    check(_with("bn", gamma=_frozen([1, 2, 3], np.float64), beta=_frozen([1, 2, 3], np.float16)))


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        (
            "conv",
            {"kernel": None},
            r"'conv' \(Conv2D\) needs weights of shapes .*\(3, 3, 2, 3\).*; it has \{\}",
        ),
        ("bn", {"beta": None}, r"'bn' \(BatchNormalization\) needs weights of shapes .*'beta'"),
        ("bn", {"beta": _frozen([1, 2])}, r"it has .*'beta': \(2,\)"),
        ("relu", {"alpha": _frozen(0.1)}, r"'relu' \(ReLU\) needs weights of shapes \{\}; it has"),
        ("sum", {"lambda": _frozen([0.1])}, r"it has \{'lambda': \(1,\)\}"),
        ("bn", {"beta": _frozen([1, 2, 3], int)}, "node 'bn': beta is of type int64, not float"),
        ("bn", {"beta": [0.0, 1.0, 2.0]}, r"node 'bn': beta is \[0.0, 1.0, 2.0\]; expected an arr"),
        ("bn", {"beta": np.zeros(3)}, "node 'bn': beta can be written to; weights are read-only"),
        ("bn", {"beta": _frozen([1, np.nan, 0])}, "beta has values that are not finite numbers"),
        ("bn", {"gamma": _frozen([1, np.inf, 0])}, "gamma has values that are not finite"),
        ("bn", {"moving_variance": _frozen([1, -0.5, 0])}, "moving variance is negative: -0.5"),
    ],
)
def test_broken_weights(name, weights, message):
    with pytest.raises(GraphError, match=message):
        check(_with(name, **weights))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (L.ReLU(), r"'relu' is ReLU\(max_value=None\); expected a Node"),
        (Node(L.ReLU(), "bn"), "node 'relu': inputs are 'bn'; expected a tuple of names"),
        (Node(L.Reshape((5, 5)), ("bn",)), "node 'relu': Reshape cannot make the 108 values"),
        (Node(L.Conv2D(4, groups=2), ("bn",)), "node 'relu': Conv2D of 2 groups reads a multiple"),
        (Node(L.Multiply(), ("bn",)), "node 'relu': Multiply reads two or more inputs, not 1"),
    ],
)
def test_nodes_edited_by_hand(node, message):
    with pytest.raises(GraphError, match=message):
        check(Graph.from_nodes({**NODES, "relu": node}, "sum"))


def _spoilt(graph, seed):
    """Return a graph with a node or two put in the place of others, rewired, or left out."""
    rng = np.random.default_rng(seed)
    nodes, names, output = dict(graph.items()), list(graph), graph.output
    for name in rng.choice(names, 2, replace=False):
        node, other = graph[name], graph[names[rng.integers(len(names))]]
        inputs = tuple(names[i] for i in rng.integers(len(names), size=len(node.inputs)))
        spoilt = [
            other,
            Node(other.layer, node.inputs, node.weights),
            Node(node.layer, inputs, node.weights),
            Node(node.layer, node.inputs, other.weights),
            None,
        ][rng.integers(5)]
        nodes[name] = spoilt
    return Graph.from_nodes({k: v for k, v in nodes.items() if v is not None}, output)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(GRAPHS)), seed=st.integers(0, 2**32 - 1))
def test_what_is_spoilt_is_refused_or_can_be_computed_still(name, seed):
    spoilt = _spoilt(GRAPHS[name](), seed)
    try:
        check(spoilt)
    except GraphError:
        return
    forward(spoilt, images(spoilt, 1))


def test_the_check_changes_nothing():
    graph = Graph.from_nodes(NODES, "sum")
    check(graph)
    assert dict(graph.items()) == NODES
