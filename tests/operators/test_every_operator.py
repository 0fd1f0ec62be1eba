"""One battery for every operator, which joins it by being listed in EXACT or APPROXIMATE."""

import json
from functools import cache

import numpy as np
import pytest
from graphs import APPROXIMATE, EXACT, GRAPHS, as_if_trained, images, initial, random_chain, small
from reference import relative_difference

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.channel_edits import ABSORBERS
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import canonical_hash, to_json
from lemonade_tf.operators import Operator, SiteError, record, replay
from lemonade_tf.operators.widen import WidenConvolution

TOLERANCE = 1e-10  # of logits in float64, relative to the largest
OPERATORS = (*EXACT, *APPROXIMATE)

every_operator = pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: o.name)
every_graph = pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)


def _rng():
    return np.random.default_rng(5)


@cache
def _children(operator, make):
    """Return the parent and, for each of its sites, the change."""
    graph = make()
    return graph, [(s, operator.apply(graph, s, rng=_rng())) for s in operator.candidates(graph)]


@every_operator
def test_what_an_operator_says_of_itself(operator):
    assert isinstance(operator, Operator)
    assert operator.exact == (operator in EXACT)
    assert operator.name.isidentifier()
    assert [o.name for o in OPERATORS].count(operator.name) == 1
    assert operator.site.__dataclass_params__.frozen


@every_operator
def test_it_applies_to_initial_networks_often(operator):
    for index in range(4):
        num_sites = len(operator.candidates(initial(index)))
        assert num_sites >= 2 or (operator.name == "separate_convolution" and index in (1, 2))


@every_operator
@every_graph
def test_children_are_whole(operator, make):
    _, children = _children(operator, make)
    for site, change in children:
        check(change.graph)
        for name, node in change.graph.items():
            for key, value in node.weights.items():
                assert value.dtype == np.float32, (site, name, key)
                assert not value.flags.writeable, (site, name, key)


@every_operator
@every_graph
def test_the_parent_stays_as_it_was(operator, make):
    graph = make()
    nodes, text, output = dict(graph.items()), to_json(graph), graph.output
    values = {n: {k: v.copy() for k, v in node.weights.items()} for n, node in nodes.items()}
    for site in operator.candidates(graph):
        operator.apply(graph, site, rng=_rng())
        assert all(graph[name] is node for name, node in nodes.items())
        assert (graph.output, len(graph)) == (output, len(nodes))
    assert to_json(graph) == text
    for name, weights in values.items():
        for key, value in weights.items():
            np.testing.assert_array_equal(graph[name].weights[key], value)


@every_operator
@every_graph
def test_sites_are_distinct_plain_and_in_one_order(operator, make):
    graph = make()
    sites = operator.candidates(graph)
    assert len(set(sites)) == len(sites)
    assert operator.candidates(make()) == sites
    assert operator.candidates(graph.copy(weights=False)) == sites
    for site in sites:
        entry = record(operator, site)
        assert json.loads(json.dumps(entry)) == entry
        assert operator.site(**entry["site"]) == site


@every_operator
@every_graph
def test_a_record_replayed_makes_the_same_child(operator, make):
    graph, children = _children(operator, make)
    for site, change in children:
        again = replay(graph, [record(operator, site)], rng=_rng())
        assert to_json(again.graph) == to_json(change.graph)
        assert (again.affected, again.repairs) == (change.affected, change.repairs)
        for name, node in change.graph.items():
            for key, value in node.weights.items():
                np.testing.assert_array_equal(again.graph[name].weights[key], value)


@every_operator
@every_graph
def test_on_shapes_as_on_weights(operator, make):
    graph, children = _children(operator, make)
    shapes = graph.copy(weights=False)
    for site, change in children:
        child = operator.apply(shapes, site, rng=_rng())
        check(child.graph)
        assert not child.graph.has_weights
        assert to_json(child.graph) == to_json(change.graph.copy(weights=False)), site
        assert canonical_hash(child.graph) == canonical_hash(change.graph)
        assert child.affected == change.affected
        assert child.repairs == change.repairs
        assert {k: v.shape for k, v in child.sources.items()} == {
            k: v.shape for k, v in change.sources.items()
        }


@every_operator
def test_shapes_draw_nothing(operator):
    graph = small().copy(weights=False)
    rng = _rng()
    for site in operator.candidates(graph):
        operator.apply(graph, site, rng=rng)
    assert rng.bit_generator.state == _rng().bit_generator.state


@every_operator
@every_graph
def test_parameters(operator, make):
    graph, children = _children(operator, make)
    before = count_parameters(graph)
    for site, change in children:
        after = count_parameters(change.graph)
        assert (after >= before) if operator.exact else (after < before), site


@pytest.mark.parametrize(
    "operator",
    [*EXACT, WidenConvolution(split=True)],
    ids=[*(operator.name for operator in EXACT), "widen_convolution, split"],
)
@every_graph
def test_exact_operators_keep_the_function(operator, make):
    graph, children = _children(operator, make)
    x = images(graph, 2)
    for site, change in children:
        assert relative_difference(graph, change.graph, x) < TOLERANCE, site


@every_operator
@every_graph
def test_affected_and_repairs_name_nodes_of_the_child(operator, make):
    _, children = _children(operator, make)
    for site, change in children:
        place = {name: at for at, name in enumerate(change.graph.topological_order())}
        assert change.affected, site
        assert [place[name] for name in change.affected] == sorted(
            place[name] for name in set(change.affected)
        )
        nodes = [repair.node for repair in change.repairs]
        assert len(set(nodes)) == len(nodes)
        assert set(nodes) <= set(change.affected)
        assert change.repairs == (*change.fit_repairs, *change.statistics_repairs)
        assert not (operator.exact and change.fit_repairs)
        for repair in change.fit_repairs:
            assert isinstance(change.graph[repair.node].layer, ABSORBERS)
        for repair in change.statistics_repairs:
            assert isinstance(change.graph[repair.node].layer, L.BatchNormalization)
            channels = change.graph.shapes()[repair.node][-1]
            assert repair.channels is None or (
                len(repair.channels) > 0
                and sorted(set(repair.channels)) == list(repair.channels)
                and set(repair.channels) <= set(range(channels))
            )
        for name, source in change.sources.items():
            if name in change.graph:  # the end of a skip that was removed is not
                assert len(source) == change.graph.shapes()[name][-1]


@every_operator
@every_graph
def test_what_is_not_affected_keeps_its_weights(operator, make):
    graph, children = _children(operator, make)
    for site, change in children:
        for name, node in change.graph.items():
            if node.weights and name not in change.affected:
                assert node.weights is graph[name].weights, (site, name)


@every_operator
def test_a_site_that_does_not_apply_is_refused(operator):
    graph = small()
    sites = operator.candidates(graph)
    plain = record(operator, sites[0])["site"]
    nowhere = operator.site(**{**plain, next(iter(plain)): "nowhere"})
    nodes = dict(graph.items())
    with pytest.raises(
        SiteError,
        match=rf"{operator.name} does not apply at \w+\(.*\): there is no node 'nowhere'",
    ):
        operator.apply(graph, nowhere, rng=_rng())
    assert dict(graph.items()) == nodes


@pytest.mark.parametrize("seed", range(160))
def test_chains_of_operators(seed):
    """Up to ten operators in a row, retrained between; exact ones keep the logits."""
    rng = np.random.default_rng(seed)
    start = list(GRAPHS.values())[seed % len(GRAPHS)]() if seed % 2 else small(seed)
    operators = EXACT if seed % 4 == 0 else OPERATORS
    x = images(start, 1, seed)
    for operator, site, parent, change in random_chain(start, operators, 10, rng):
        if count_parameters(change.graph) > 60_000:
            break
        check(change.graph)
        if operator.exact:
            assert relative_difference(parent, change.graph, x) < TOLERANCE, (operator.name, site)
        else:
            assert count_parameters(change.graph) < count_parameters(parent)


@pytest.mark.parametrize("seed", range(10))
def test_a_chain_replayed_on_weights_is_the_chain_on_shapes(seed):
    rng = np.random.default_rng(seed)
    graph = small(seed)
    shapes, records = graph.copy(weights=False), []
    for operator, site, _, change in random_chain(shapes, OPERATORS, 8, rng, retrained=False):
        shapes = change.graph
        records.append(record(operator, site))
    change = replay(graph, records, rng=_rng())
    check(change.graph)
    assert to_json(change.graph.copy(weights=False)) == to_json(shapes)
    again = replay(as_if_trained(graph, rng), records, rng=_rng())
    assert canonical_hash(again.graph) == canonical_hash(change.graph)
    assert (again.affected, again.repairs) == (change.affected, change.repairs)
