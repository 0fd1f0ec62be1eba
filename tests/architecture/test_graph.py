"""Queries and edits of a graph: edits check first, and the cache holds no stale facts."""

import re

import numpy as np
import pytest
from graphs import every_layer, fresh, small
from hypothesis import given, settings
from hypothesis import strategies as st

from lemonade_tf.architecture import Graph, GraphError, Node, check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.graph import freeze


def _diamond():
    graph = Graph()
    graph.add("image", L.Input((6, 6, 2)))
    graph.add("conv", L.Conv2D(3), ["image"])
    graph.add("left", L.ReLU(), ["conv"])
    graph.add("right", L.Activation("tanh"), ["conv"])
    graph.output = graph.add("sum", L.Add(), ["left", "right"])
    return graph


# --- Queries -------------------------------------------------------------------------------------


def test_queries():
    graph = _diamond()
    assert list(graph) == ["image", "conv", "left", "right", "sum"]
    assert len(graph) == 5
    assert "left" in graph
    assert "up" not in graph
    assert graph["sum"] == Node(L.Add(), ("left", "right"))
    assert (graph.input, graph.output) == ("image", "sum")
    assert not graph.has_weights
    assert graph.consumers("conv") == ("left", "right")
    assert graph.all_consumers()["sum"] == ()
    assert graph.topological_order() == ("image", "conv", "left", "right", "sum")
    assert graph.shapes()["sum"] == (6, 6, 3)
    assert graph.input_shapes("sum") == ((6, 6, 3), (6, 6, 3))
    assert graph.weight_shapes("conv") == {"kernel": (3, 3, 2, 3)}
    assert graph.ancestors("left") == {"image", "conv"}
    assert graph.ancestors("image") == frozenset()
    assert graph.unique_name("conv") == "conv_1"


def test_node_that_consumes_another_twice_is_one_consumer():
    graph = _diamond()
    graph.add("twice", L.Concatenate(), ["sum", "sum"])
    assert graph.consumers("sum") == ("twice",)
    assert graph.topological_order()[-1] == "twice"


def test_order_does_not_depend_on_insertion():
    graph = _diamond()
    backwards = Graph.from_nodes(dict(reversed(list(graph.items()))), "sum")
    place = {name: at for at, name in enumerate(backwards.topological_order())}
    assert set(place) == set(graph)
    assert all(place[i] < place[name] for name, node in graph.items() for i in node.inputs)


def test_unique_name_is_the_first_that_is_not_taken():
    graph = _diamond()
    graph.add("conv_1", L.ReLU(), ["sum"])
    graph.add("conv_3", L.ReLU(), ["sum"])
    assert graph.unique_name("conv") == "conv_2"


def test_unique_names_have_a_prefix_within_naming():
    graph = _diamond()
    graph.add("cell_2_conv_1", L.ReLU(), ["sum"])
    with graph.naming("cell_2_"):
        assert graph.unique_name("conv") == "cell_2_conv_2"
        assert graph.copy().unique_name("conv") == "conv_1"
    with pytest.raises(KeyError), graph.naming("cell_3_"):
        raise KeyError
    assert graph.unique_name("conv") == "conv_1"


def test_cycle_is_named():
    graph = _diamond()
    graph.set_inputs("conv", ["left"])
    with pytest.raises(GraphError, match="the graph has a cycle; it involves conv, left, right, s"):
        graph.topological_order()


def test_shapes_name_the_node_whose_inputs_do_not_fit():
    graph = _diamond()
    graph.add("dense", L.GlobalAveragePooling2D(), ["sum"])
    graph.add("wrong", L.Conv2D(3), ["dense"])
    with pytest.raises(GraphError, match="layer 'wrong': Conv2D got an input of shape"):
        graph.shapes()


@pytest.mark.parametrize(
    "query",
    [
        lambda g: g["cnov"],
        lambda g: g.consumers("cnov"),
        lambda g: g.ancestors("cnov"),
        lambda g: g.weight_shapes("cnov"),
        lambda g: g.input_shapes("cnov"),
    ],
)
def test_unknown_name_is_refused_with_similar_names(query):
    with pytest.raises(GraphError, match=r"there is no layer 'cnov'\. Similar names: conv"):
        query(_diamond())


def test_unknown_name_without_similar_names():
    with pytest.raises(GraphError, match=r"there is no layer 'xyz'\. The graph is empty"):
        Graph()["xyz"]
    with pytest.raises(GraphError, match="there is no layer 'xyz'") as error:
        _diamond()["xyz"]
    assert "empty" not in str(error.value)


def test_has_weights():
    graph = small()
    assert graph.has_weights
    assert not graph.copy(weights=False).has_weights


# --- Each edit checks first ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda g: g.add("conv", L.ReLU(), ["sum"]),
            "there is already a layer 'conv'; choose a different",
        ),
        (
            lambda g: g.add("new", L.ReLU(), ["cnov"]),
            "has the input 'cnov', which does not exist. Similar names: conv",
        ),
        (lambda g: g.add("new", L.ReLU(), []), "layer 'new': ReLU got 0 inputs; expected 1"),
        (lambda g: g.add("new", L.Add(), []), "layer 'new': Add got 0 inputs; expected one or"),
        (
            lambda g: g.add("new", "ReLU", ["sum"]),
            "layer 'new' is 'ReLU'; expected a Layer",
        ),
        (
            lambda g: g.add("new", L.ConvexSum(), ["sum"]),
            "layer 'new': ConvexSum got 1 inputs; expected 2",
        ),
        (lambda g: g.insert_after("left", "sum", L.ReLU()), "there is already a layer 'sum'"),
        (
            lambda g: g.insert_after("left", "new", L.Subtract()),
            "Subtract got 1 inputs; expected 2",
        ),
        (
            lambda g: g.insert_after("nope", "new", L.ReLU()),
            "has the input 'nope', which does not exist",
        ),
        (lambda g: g.remove("conv"), "layer 'conv' is an input of left, right; redirect them"),
        (lambda g: g.remove("sum"), "layer 'sum' is the output; choose a different output"),
        (lambda g: g.remove("smu"), "there is no layer 'smu'. Similar names: sum"),
        (lambda g: g.redirect("conv", "nope"), "there is no layer 'nope'"),
        (lambda g: g.redirect("nope", "conv"), "there is no layer 'nope'"),
        (lambda g: g.set_layer("nope", L.ReLU()), "there is no layer 'nope'"),
        (lambda g: g.set_layer("sum", L.ReLU()), "layer 'sum': ReLU got 2 inputs; expected 1"),
        (lambda g: g.set_layer("left", L.Add(), inputs=[]), "Add got 0 inputs; expected one"),
        (lambda g: g.set_inputs("left", ["left"]), "layer 'left' cannot be its own input"),
        (lambda g: g.set_inputs("left", ["nope"]), "layer 'left' has the input 'nope', which does"),
        (lambda g: g.set_inputs("left", []), "layer 'left': ReLU got 0 inputs; expected 1"),
        (
            lambda g: g.set_weights("conv", {"kernel": np.zeros((3, 3, 1, 3))}),
            r"layer 'conv' \(Conv2D\): the weights have .*; expected \{'kernel': \(3, 3, 2, 3\)\}",
        ),
        (lambda g: g.set_weights("conv", {}), r"the weights have the shapes \{\}; expected"),
        (
            lambda g: g.set_weights("left", {"kernel": np.zeros(3)}),
            r"have the shapes .*; expected \{\}",
        ),
        (lambda g: setattr(g, "output", "nope"), "there is no layer 'nope'"),
    ],
)
def test_refused_edit_leaves_the_graph_unchanged(edit, message):
    graph = _diamond()
    before = dict(graph.items())
    with pytest.raises(GraphError, match=message):
        edit(graph)
    assert dict(graph.items()) == before
    assert graph.output == "sum"
    check(graph)


def test_redirection_of_a_node_to_itself_is_refused():
    graph = _diamond()
    before = dict(graph.items())
    with pytest.raises(
        GraphError, match="'left' consumes 'conv' and cannot be its own input; add it to exclude"
    ):
        graph.redirect("conv", "left")
    assert dict(graph.items()) == before


def test_set_layer_refuses_a_value_that_is_no_layer():
    with pytest.raises(GraphError, match=r"layer .left. is .ReLU.; expected a Layer"):
        _diamond().set_layer("left", "ReLU")


# --- What edits do -------------------------------------------------------------------------------


def test_remove():
    graph = _diamond()
    graph.output = "left"
    graph.remove("sum")
    graph.remove("right")
    assert list(graph) == ["image", "conv", "left"]
    check(graph)


def test_redirect_moves_consumers_and_the_output():
    graph = _diamond()
    graph.add("norm", L.BatchNormalization(), ["conv"])
    graph.redirect("conv", "norm", exclude=["norm", "right"])
    assert graph["left"].inputs == ("norm",)
    assert graph["right"].inputs == ("conv",)
    graph.redirect("sum", "right")
    assert graph.output == "right"
    assert set(graph.remove_unused()) == {"norm", "left", "sum"}
    check(graph)


def test_redirect_replaces_each_of_several_inputs():
    graph = _diamond()
    graph.redirect("right", "left")
    assert graph["sum"].inputs == ("left", "left")
    assert graph.consumers("left") == ("sum",)
    assert graph.consumers("right") == ()


def test_insert_after_moves_consumers_and_the_output_to_the_new_node():
    graph = _diamond()
    assert graph.insert_after("conv", "norm", L.BatchNormalization(), exclude=["right"]) == "norm"
    assert graph["norm"] == Node(L.BatchNormalization(), ("conv",))
    assert graph["left"].inputs == ("norm",)
    assert graph["right"].inputs == ("conv",)
    graph.insert_after("sum", "last", L.ReLU())
    assert graph.output == "last"
    assert list(graph)[-2:] == ["norm", "last"]
    check(graph)


def test_set_layer_keeps_inputs_and_weights_unless_given():
    graph = small()
    old = graph["bn_1"]
    graph.set_layer("bn_1", L.BatchNormalization(momentum=0.5))
    assert graph["bn_1"].layer.momentum == 0.5
    assert graph["bn_1"].inputs == old.inputs
    assert graph["bn_1"].weights is old.weights
    graph.set_layer("bn_1", L.ReLU(), {}, inputs=["rescaling"])
    assert graph["bn_1"] == Node(L.ReLU(), ("rescaling",), {})
    assert graph.consumers("conv_1") == ()


def test_remove_unused_keeps_the_ancestors_of_the_output():
    graph = every_layer()
    graph.output = "sum"
    removed = graph.remove_unused()
    assert "max" in graph
    assert "separable" in removed
    assert "softmax" in removed
    check(graph)
    assert graph.remove_unused() == ()


def test_weights_are_frozen_copies():
    graph, kernel = _diamond(), np.ones((3, 3, 2, 3), np.float32)
    graph.set_weights("conv", {"kernel": kernel})
    kernel[:] = 7
    assert (graph["conv"].weights["kernel"] == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        graph["conv"].weights["kernel"][:] = 7


def test_read_only_arrays_are_shared():
    array = np.ones(3)
    array.flags.writeable = False
    assert freeze({"a": array})["a"] is array


# --- Copies --------------------------------------------------------------------------------------


def test_copy_shares_weights_and_nothing_else():
    parent = small()
    before = dict(parent.items())
    parent.shapes(), parent.topological_order()
    child = parent.copy()
    assert child["conv_1"].weights["kernel"] is parent["conv_1"].weights["kernel"]
    child.add("more", L.ReLU(), ["relu_1"])
    child.set_layer("conv_1", L.Conv2D(99))
    child.redirect("relu_1", "more", exclude=["more"])
    child.set_weights("logits", {"kernel": np.zeros((10, 4)), "bias": np.zeros(4)})
    assert dict(parent.items()) == before
    assert parent.shapes()["conv_1"] == (8, 8, 6)
    assert "more" not in parent.shapes()
    assert parent.consumers("relu_1") == ("pool_1",)
    parent.output = "logits"
    assert child.output == "softmax"


def test_copy_without_weights():
    graph = every_layer()
    shapes = graph.copy(weights=False)
    assert not any(node.weights for _, node in shapes.items())
    assert [(n, v.layer, v.inputs) for n, v in shapes.items()] == [
        (n, v.layer, v.inputs) for n, v in graph.items()
    ]
    assert graph.has_weights
    check(shapes)


# --- The cache -----------------------------------------------------------------------------------


def test_cached_facts_are_computed_once_between_edits():
    graph, calls = small(), []

    def compute(of):
        calls.append(of)
        return len(of)

    assert graph.cached("fact", compute) == graph.cached("fact", compute) == len(graph)
    assert len(calls) == 1
    graph.set_weights("conv_1", dict(graph["conv_1"].weights))  # does not change the structure
    graph.cached("fact", compute)
    assert len(calls) == 1
    for edit in (
        lambda: graph.set_layer("conv_1", L.Conv2D(7)),
        lambda: graph.add("more", L.ReLU(), ["relu_1"]),
        lambda: graph.redirect("relu_1", "more", exclude=["more"]),
        lambda: graph.set_inputs("more", ["bn_1"]),
        lambda: setattr(graph, "output", "logits"),
        lambda: graph.remove("softmax"),
        lambda: graph.remove_unused(),
    ):
        calls.clear()
        edit()
        graph.cached("fact", compute)
        assert len(calls) == 1


NUMBERS = st.integers(0, 2**16)
EDIT = st.tuples(
    st.sampled_from(
        ["relu", "conv", "sum", "remove", "redirect", "layer", "inputs", "output", "unused", "copy"]
    ),
    NUMBERS,
    NUMBERS,
    NUMBERS,
)


def _edit(graph, verb, a, b, c):
    names = list(graph)
    one, two = names[a % len(names)], names[b % len(names)]
    if verb == "relu":
        graph.add(graph.unique_name("n"), L.ReLU(), [one])
    elif verb == "conv":
        graph.add(graph.unique_name("n"), L.Conv2D(1 + c % 4), [one])
    elif verb == "sum":
        graph.add(graph.unique_name("n"), (L.Add(), L.Concatenate())[c % 2], [one, two])
    elif verb == "remove":
        graph.remove(one)
    elif verb == "redirect":
        graph.redirect(one, two, exclude=[two])
    elif verb == "layer":
        graph.set_layer(one, L.Conv2D(1 + c % 4))
    elif verb == "inputs":
        graph.set_inputs(one, [two])
    elif verb == "output":
        graph.output = one
    elif verb == "unused":
        graph.remove_unused()


def _facts(graph):
    """Return the facts about a graph, or for each the error instead."""
    facts = []
    for ask in (
        lambda: graph.all_consumers(),
        lambda: graph.topological_order(),
        lambda: graph.ancestors(graph.output),
        lambda: dict(graph.shapes()),
        lambda: graph.input,
        lambda: count_parameters(graph),
    ):
        try:
            facts.append(ask())
        except GraphError as error:
            facts.append(str(error))
    return facts


@settings(max_examples=120, deadline=None)
@given(st.lists(EDIT, max_size=25))
def test_cache_has_no_stale_facts(edits):
    graph = _diamond()
    copies = []
    for verb, a, b, c in edits:
        if verb == "copy":
            copies.append((graph, dict(graph.items()), _facts(graph)))
            graph = graph.copy()
            continue
        before = dict(graph.items()), graph.output
        try:
            _edit(graph, verb, a, b, c)
        except GraphError:
            assert (dict(graph.items()), graph.output) == before
        assert _facts(graph) == _facts(fresh(graph))
    for parent, nodes, facts in copies:
        assert dict(parent.items()) == nodes
        assert _facts(parent) == facts


def test_message_about_an_unknown_name_is_one_line():
    with pytest.raises(GraphError) as error:
        small()["conv_4"]
    assert re.fullmatch(r"there is no layer 'conv_4'\. Similar names: [\w, ]+\.", str(error.value))


def test_messages_suggest_names_of_any_case_and_list_many_layers_by_kind():
    graph = Graph()
    graph.add("Input_A", L.Input((4, 4, 3)))
    for number in range(7):
        graph.add(f"conv_{number}", L.Conv2D(3), ["Input_A"])
    graph.add("Relu_A", L.ReLU(), ["Input_A"])
    with pytest.raises(GraphError, match=r"there is no layer 'INPUT_a'. Similar names: Input_A"):
        _ = graph["INPUT_a"]
    message = r"an input of 7 Conv2D \(conv_0, conv_1, conv_2, ...\), 1 ReLU \(Relu_A\); redirect"
    with pytest.raises(GraphError, match=message):
        graph.remove("Input_A")
