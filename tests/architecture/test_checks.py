"""Each invariant of a graph, broken once by hand."""

import numpy as np
import pytest
from graphs import GRAPHS, images, new_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import forward

from lemonade_tf.architecture import Graph, GraphError, Node, check
from lemonade_tf.architecture import layers as L


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_valid_graphs_pass(make):
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


def test_graph_that_is_broken_below_is_valid():
    check(Graph.from_nodes(NODES, "sum"))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            {"": Node(L.ReLU(), ("sum",))},
            "'' is not a valid name; expected a non-empty string without '/'",
        ),
        ({"a/b": Node(L.ReLU(), ("sum",))}, "'a/b' is not a valid name"),
        ({3: Node(L.ReLU(), ("sum",))}, "3 is not a valid name"),
        ({"relu": Node("ReLU", ("bn",))}, "layer 'relu' is 'ReLU'; expected a Layer"),
        (
            {"relu": Node(L.ReLU(), ("nb",))},
            "layer 'relu' has the input 'nb', which does not exist",
        ),
        ({"relu": Node(L.ReLU(), ())}, "layer 'relu': ReLU got 0 inputs; expected 1"),
        ({"relu": Node(L.ReLU(), ("bn", "bn"))}, "ReLU got 2 inputs; expected 1"),
        ({"sum": Node(L.Add(), ())}, "layer 'sum': Add got 0 inputs; expected one or more"),
        ({"sum": Node(L.ConvexSum(), ("bn", "bn", "bn"))}, "ConvexSum got 3 inputs; expected 2"),
        (
            {"image": Node(L.Input((6, 6, 2)), ("sum",))},
            "layer 'image': Input got 1 inputs; expected 0",
        ),
        ({"other": Node(L.Input((6, 6, 2)))}, r"has 2 Inputs: \['image', 'other'\]; expected one"),
        (
            {"conv": Node(L.Conv2D(3), ("relu",))},
            "the graph has a cycle; it involves bn, conv, relu",
        ),
        (
            {"idle": Node(L.ReLU(), ("bn",)), "idler": Node(L.ReLU(), ("idle",))},
            r"the output 'sum' does not depend on idle, idler; remove_unused\(\) removes such",
        ),
        (
            {"sum": Node(L.Add(), ("relu", "image"))},
            r"layer 'sum': Add got inputs of shapes \(6, 6, 3\), \(6, 6, 2\)",
        ),
        (
            {"conv": Node(L.Conv2D(3, 9, padding="valid"), ("image",))},
            "layer 'conv': Conv2D with a window",
        ),
    ],
    ids=lambda v: None if isinstance(v, str) else ",".join(map(str, v)),
)
def test_broken_wiring(nodes, message):
    with pytest.raises(GraphError, match=message):
        check(Graph.from_nodes({**NODES, **nodes}, "sum"))


def test_no_input():
    nodes = {n: node for n, node in NODES.items() if n != "image"}
    with pytest.raises(
        GraphError, match="layer 'conv' has the input 'image', which does not exist"
    ):
        check(Graph.from_nodes(nodes, "sum"))
    with pytest.raises(GraphError, match="the graph has 0 Inputs"):
        check(Graph())


def test_no_output():
    with pytest.raises(GraphError, match=r"there is no layer 'smu'\. Similar names: sum"):
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
            r"'conv' \(Conv2D\): the weights have the shapes \{\}; expected .*\(3, 3, 2, 3\)",
        ),
        ("bn", {"beta": None}, r"'bn' \(BatchNormalization\): .*; expected .*'beta'"),
        (
            "bn",
            {"beta": _frozen([1, 2])},
            r"the weights have the shapes .*'beta': \(2,\).*; expected",
        ),
        ("relu", {"alpha": _frozen(0.1)}, r"'relu' \(ReLU\): .*'alpha'.*; expected \{\}"),
        ("sum", {"lambda": _frozen([0.1])}, r"have the shapes \{'lambda': \(1,\)\}"),
        (
            "bn",
            {"beta": _frozen([1, 2, 3], int)},
            "layer 'bn': beta has dtype int64; expected floating",
        ),
        (
            "bn",
            {"beta": [0.0, 1.0, 2.0]},
            r"layer 'bn': beta is \[0.0, 1.0, 2.0\]; expected an arr",
        ),
        ("bn", {"beta": np.zeros(3)}, "layer 'bn': beta is writable; expected a read-only array"),
        ("bn", {"beta": _frozen([1, np.nan, 0])}, "beta has values that are not finite"),
        ("bn", {"gamma": _frozen([1, np.inf, 0])}, "gamma has values that are not finite"),
        (
            "bn",
            {"moving_variance": _frozen([1, -0.5, 0])},
            "moving_variance has the negative value -0.5",
        ),
    ],
)
def test_broken_weights(name, weights, message):
    with pytest.raises(GraphError, match=message):
        check(_with(name, **weights))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (L.ReLU(), r"'relu' is ReLU\(max_value=None, .*\); expected a Node"),
        (Node(L.Layer(), ("bn",)), "layer 'relu' is a Layer; expected one of LAYERS"),
        (Node(L.ReLU(), "bn"), "layer 'relu': inputs are 'bn'; expected a tuple of names"),
        (
            Node(L.Reshape((5, 5)), ("bn",)),
            r"layer 'relu': Reshape to \(5, 5\) got .*; its 108 values do",
        ),
        (
            Node(L.Conv2D(4, groups=2), ("bn",)),
            "layer 'relu': Conv2D with 2 groups got an input of 3",
        ),
        (Node(L.Multiply(), ()), "layer 'relu': Multiply got 0 inputs; expected one or more"),
    ],
)
def test_nodes_edited_by_hand(node, message):
    with pytest.raises(GraphError, match=message):
        check(Graph.from_nodes({**NODES, "relu": node}, "sum"))


def _corrupted(graph, seed):
    """Return a graph with one or two nodes replaced by others, rewired or removed."""
    rng = np.random.default_rng(seed)
    nodes, names, output = dict(graph.items()), list(graph), graph.output
    for name in rng.choice(names, 2, replace=False):
        node, other = graph[name], graph[names[rng.integers(len(names))]]
        inputs = tuple(names[i] for i in rng.integers(len(names), size=len(node.inputs)))
        corrupted = [
            other,
            Node(other.layer, node.inputs, node.weights),
            Node(node.layer, inputs, node.weights),
            Node(node.layer, node.inputs, other.weights),
            None,
        ][rng.integers(5)]
        nodes[name] = corrupted
    return Graph.from_nodes({k: v for k, v in nodes.items() if v is not None}, output)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(GRAPHS)), seed=st.integers(0, 2**32 - 1))
def test_corrupted_graph_is_refused_or_can_still_be_computed(name, seed):
    corrupted = _corrupted(GRAPHS[name](), seed)
    try:
        check(corrupted)
    except GraphError:
        return
    forward(corrupted, images(corrupted, 1))


def test_check_does_not_change_the_graph():
    graph = Graph.from_nodes(NODES, "sum")
    check(graph)
    assert dict(graph.items()) == NODES
