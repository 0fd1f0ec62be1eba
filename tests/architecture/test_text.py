"""Hashes, comparison and JSON of architectures."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from graphs import (
    EXACT,
    GRAPHS,
    convolutions,
    every_layer,
    finished,
    images,
    random_chain,
    renamed,
    small,
    stack,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import logits

from lemonade_tf.architecture import Graph, GraphError, check, text
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.text import (
    canonical_hash,
    from_json,
    same_architecture,
    to_json,
)

# --- The same architecture -----------------------------------------------------------------------


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_names_and_order_are_ignored(make, seed):
    graph = make()
    other = renamed(graph, np.random.default_rng(seed))
    check(other)
    assert canonical_hash(other) == canonical_hash(graph)
    assert same_architecture(graph, other)
    assert same_architecture(other, graph)


def test_weights_are_ignored():
    assert canonical_hash(small(0)) == canonical_hash(small(1))
    assert same_architecture(small(0), small(1).copy(weights=False))


def test_different_graphs_have_different_hashes():
    graphs = [make() for make in GRAPHS.values()]
    assert len({canonical_hash(graph) for graph in graphs}) == len(graphs)
    for i, first in enumerate(graphs):
        for j, second in enumerate(graphs):
            assert same_architecture(first, second) == (i == j)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("conv_1", L.Conv2D(6, 5)),
        ("conv_1", L.Conv2D(6, 3, use_bias=True)),
        ("pool_1", L.AveragePooling2D(2)),
        ("relu_1", L.ReLU(6.0)),
        ("bn_3", L.BatchNormalization(momentum=0.9)),
        ("rescaling", L.Rescaling(1 / 127.5, -1.0000001)),
    ],
)
def test_every_argument_counts(name, layer):
    graph, other = small(), small().copy(weights=False)
    other.set_layer(name, layer)
    assert canonical_hash(other) != canonical_hash(graph)
    assert not same_architecture(graph, other)


def _pair(combine):
    """Return a graph in which `combine(graph, a, b)` combines two convolutions of one shape."""
    graph = Graph()
    graph.add("image", L.Input((6, 6, 2)))
    graph.add("a", L.Conv2D(3, 3), ["image"])
    graph.add("b", L.Conv2D(3, 5), ["image"])
    return finished(graph, combine(graph, "a", "b"))


@pytest.mark.parametrize("layer", [L.ConvexSum(), L.Concatenate()])
def test_order_of_inputs_counts(layer):
    one = _pair(lambda g, a, b: g.add("both", layer, [a, b]))
    other = _pair(lambda g, a, b: g.add("both", layer, [b, a]))
    assert canonical_hash(one) != canonical_hash(other)
    assert not same_architecture(one, other)


def test_order_of_the_inputs_of_a_sum_is_ignored():
    one = _pair(lambda g, a, b: g.add("both", L.Add(), [a, b]))
    other = _pair(lambda g, a, b: g.add("both", L.Add(), [b, a]))
    assert canonical_hash(one) == canonical_hash(other)
    assert same_architecture(one, other)


@pytest.mark.parametrize("layer", [L.ConvexSum(), L.Concatenate(), L.Add()])
def test_node_consumed_twice_differs_from_two_equal_nodes(layer):
    graphs = []
    for shared in (True, False):
        graph = Graph()
        graph.add("image", L.Input((6, 6, 2)))
        names = [graph.add("a", L.Conv2D(3), ["image"])] * 2
        if not shared:
            names[1] = graph.add("b", L.Conv2D(3), ["image"])
        graphs.append(finished(graph, graph.add("both", layer, names)))
    assert canonical_hash(graphs[0]) != canonical_hash(graphs[1])
    assert not same_architecture(*graphs)
    assert not same_architecture(*reversed(graphs))


@pytest.mark.parametrize("outer", [L.Add(), L.Concatenate()])
def test_which_equal_nodes_are_shared_counts(outer):
    """The hash is the same here; the comparison decides."""
    graphs = []
    for first, second in ((("a", "b"), ("a", "b")), (("a", "a"), ("b", "b"))):
        graph = Graph()
        graph.add("image", L.Input((6, 6, 2)))
        graph.add("a", L.Conv2D(3), ["image"])
        graph.add("b", L.Conv2D(3), ["image"])
        graph.add("first", L.Concatenate(), first)
        graph.add("second", L.Concatenate(), second)
        graphs.append(finished(graph, graph.add("both", outer, ["first", "second"])))
    assert canonical_hash(graphs[0]) == canonical_hash(graphs[1])
    assert not same_architecture(*graphs)
    assert not same_architecture(*reversed(graphs))
    assert all(same_architecture(graph, graph) for graph in graphs)


def test_order_of_a_sum_that_fails_later_is_taken_back():
    def made(second):
        graph = Graph()
        graph.add("image", L.Input((6, 6, 2)))
        for name in "ab":
            stack(graph, "image", L.Conv2D(3), L.ReLU(), stem=name)
        graph.add("sum", L.Add(), ["a_relu", "b_relu"])
        graph.add("more", L.Concatenate(), ["sum", second])
        return finished(graph, "more")

    one, other, different = made("a_relu"), made("b_relu"), made("sum")
    assert canonical_hash(one) == canonical_hash(other)
    assert same_architecture(one, other)
    assert not same_architecture(one, different)


def test_additional_node_is_a_different_architecture():
    one = _pair(lambda g, a, b: g.add("both", L.Add(), [a, b]))
    other = one.copy()
    other.redirect("both", other.add("more", L.ReLU(), ["both"]), exclude=["more"])
    assert not same_architecture(one, other)


def test_hash_is_the_same_in_every_process():
    script = (
        "from lemonade_tf.architecture.text import canonical_hash, from_json; import sys;"
        "print(canonical_hash(from_json(sys.stdin.read())))"
    )
    graph = every_layer()
    result = subprocess.run(
        [sys.executable, "-c", script],
        input=to_json(graph),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert result.stdout.strip() == canonical_hash(graph)
    assert len(canonical_hash(graph)) == 32


def test_hash_changes_with_an_edit():
    graph = small()
    before = canonical_hash(graph)
    graph.set_layer("relu_1", L.ReLU(6.0))
    after = canonical_hash(graph)
    graph.set_layer("relu_1", L.ReLU())
    assert canonical_hash(graph) == before != after


@pytest.fixture
def colliding_digests(monkeypatch):
    """Give every node the same digest: then the comparison has to decide alone."""
    monkeypatch.setattr(text, "_node_digests", lambda graph: dict.fromkeys(graph, b""))


@pytest.mark.usefixtures("colliding_digests")
class TestCollisions:
    def test_renamed_graphs_are_the_same(self):
        for make in (small, every_layer):
            graph = make()
            assert same_architecture(graph, renamed(graph, np.random.default_rng(0)))

    def test_changed_layer_is_noticed(self):
        graph, other = every_layer(), every_layer()
        other.set_layer("hidden", L.Dense(8, use_bias=False))
        assert not same_architecture(graph, other)

    def test_different_numbers_of_inputs_are_noticed(self):
        graphs = []
        for inputs in (["a", "b", "b"], ["a", "b"]):
            graph = Graph()
            graph.add("image", L.Input((6, 6, 2)))
            graph.add("a", L.Conv2D(3), ["image"])
            graph.add("b", L.Conv2D(3), ["image"])
            graphs.append(finished(graph, graph.add("both", L.Concatenate(), inputs)))
        assert not same_architecture(*graphs)

    @pytest.mark.parametrize("swap", [False, True])
    @pytest.mark.parametrize("outer", [L.Add(), L.Concatenate()])
    def test_shared_node_matches_one_node_only(self, outer, swap):
        """(a, a, b) against (a, b, b): same numbers of nodes, but other nodes are shared."""
        graphs = []
        for inputs in (["a", "a", "b"], ["a", "b", "b"]):
            graph = Graph()
            graph.add("image", L.Input((6, 6, 2)))
            graph.add("a", L.Conv2D(3), ["image"])
            graph.add("b", L.Conv2D(3), ["image"])
            pairs = [
                graph.add(f"pair_{i}", L.Concatenate(), [name, "image"])
                for i, name in enumerate(inputs)
            ]
            graphs.append(finished(graph, graph.add("all", outer, pairs)))
        graphs = graphs[::-1] if swap else graphs
        assert same_architecture(*graphs) == isinstance(outer, L.Add)


# --- JSON ----------------------------------------------------------------------------------------


def _weights(graph):
    return {name: node.weights for name, node in graph.items()}


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_json_round_trip(make):
    graph = make()
    text = to_json(graph)
    shapes = from_json(text)
    assert list(shapes) == list(graph)
    assert shapes.output == graph.output
    assert not shapes.has_weights
    for name, node in graph.items():
        assert (shapes[name].layer, shapes[name].inputs) == (node.layer, node.inputs)
        assert repr(shapes[name].layer) == repr(node.layer)
    assert to_json(graph.copy(weights=False)) == to_json(shapes)

    weights = {
        name: {k: v for k, v in node.weights.items() if k != "lambda"}
        for name, node in graph.items()
    }
    again = from_json(text, weights)
    check(again)
    assert to_json(again) == text
    x = images(graph)
    np.testing.assert_array_equal(logits(again, x), logits(graph, x))


@settings(deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_lambda_keeps_its_full_precision(value):
    graph = _pair(lambda g, a, b: g.add("both", L.ConvexSum(), [a, b]))
    weights = {
        name: {k: np.zeros(s, np.float32) for k, s in graph.weight_shapes(name).items()}
        for name in graph
    }
    for name, values in weights.items():
        graph.set_weights(name, values)
    graph.set_weights("both", {"lambda": np.float32(value)})
    del weights["both"]
    loaded = from_json(to_json(graph), weights)["both"].weights["lambda"]
    assert loaded.dtype == np.float32
    assert loaded.tobytes() == np.float32(value).tobytes()


def test_json_round_trip_after_operators():
    rng = np.random.default_rng(3)
    for *_, change in random_chain(small().copy(weights=False), EXACT, 8, rng, retrained=False):
        loaded = from_json(to_json(change.graph))
        assert list(loaded) == list(change.graph)
        assert canonical_hash(loaded) == canonical_hash(change.graph)


def _changed(**entry):
    content = json.loads(to_json(small()))
    content["nodes"][2].update(entry)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is not an architecture written by lemonade_tf: JSONDecodeError"),
        ("{", "this is not an architecture"),
        ("3", "this is not an architecture"),
        ("[]", "this is not an architecture"),
        ("{}", "this is not an architecture written by lemonade_tf: KeyError"),
        ('{"format": 2, "nodes": [], "output": ""}', "has format 2; expected 1"),
        ('{"format": 1, "nodes": [], "output": ""}', "the output is ''; expected the name"),
        (_changed(name="x" * 201), r"'x+' is not a valid name; expected 1 to 200 char"),
        (_changed(name="input"), "two layers of the same name"),
        (_changed(arguments={"filters": [[]]}), r"layer 'conv_1': filters is \(\[\],\)"),
        (_changed(layer=[]), "this is not an architecture"),
        ("[" * 100_000, "nested more than 64 deep"),
        (json.dumps({"format": 1, "nodes": [0] * 10_001, "output": ""}), "has 10,001 layers"),
        (json.dumps({"format": 1, "nodes": {"a": 1}, "output": ""}), "this is not an architecture"),
        (_changed(layer="LSTM"), "'conv_1' has the unknown layer 'LSTM'; expected one of Input"),
        (_changed(arguments={"units": 3}), "layer 'conv_1': .*unexpected keyword argument 'units'"),
        (_changed(arguments={}), "layer 'conv_1': .*missing 1 required .*'filters'"),
        (_changed(arguments={"filters": -1}), "layer 'conv_1': filters is -1"),
        (_changed(inputs=["nowhere"]), "layer 'conv_1' has the input 'nowhere', which does not"),
        (_changed(inputs=["relu_1"]), "the graph has a cycle"),
        (_changed(name="a/b"), "'a/b' is not a valid name"),
    ],
)
def test_invalid_json_is_refused(text, message):
    with pytest.raises(GraphError, match=message):
        from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"format": 1, "nodes": [{}], "output": "a"}',
        '{"format": 1, "nodes": null, "output": "a"}',
        '{"format": 1, "nodes": [3], "output": "a"}',
        '{"format": 1, "nodes": [{"name": "a", "layer": "ReLU"}], "output": "a"}',
    ],
)
def test_incomplete_nodes_are_refused(text):
    with pytest.raises(GraphError, match="not an architecture"):
        from_json(text)


def test_weights_of_wrong_shapes_are_refused():
    graph = small()
    weights = _weights(graph)
    with pytest.raises(GraphError, match=r"layer 'bn_1' .*: the weights have the shapes"):
        from_json(to_json(graph), {**weights, "bn_1": {}})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("initial, convolutions", "d43dc95557e15d13310bdce40aab940d"),
        ("tied", "39cb9e6d2b8bd3858f8931d267077c26"),
    ],
)
def test_recorded_hashes_stay_valid(name, expected):
    """A resumed run compares them with hashes that an earlier version recorded."""
    assert canonical_hash(GRAPHS[name]()) == expected


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        (L.Conv2D(6), L.Conv2D(6, groups=3)),
        (L.Dropout(0.1), L.Dropout(0.1, (None, 1, 1, 1))),
        (L.ZeroPadding2D(1), L.ZeroPadding2D(((1, 1), (1, 2)))),
    ],
)
def test_arguments_that_were_added_later_count(plain, other):
    hashes = set()
    for layer in (plain, other):
        graph = convolutions(6)
        hashes.add(canonical_hash(finished(graph, graph.add("it", layer, ["a"]))))
    assert len(hashes) == 2


def test_order_of_the_inputs_of_a_product_is_ignored():
    graphs = []
    for inputs in (["a", "b"], ["b", "a"]):
        graph = convolutions(4, 4)
        graph.set_layer("b", L.Conv2D(4, 5))
        graphs.append(finished(graph, graph.add("product", L.Multiply(), inputs)))
    assert canonical_hash(graphs[0]) == canonical_hash(graphs[1])
    assert same_architecture(*graphs)
