"""One battery of tests for every operator in EXACT and APPROXIMATE."""

import json
from functools import cache

import numpy as np
import pytest
from graphs import (
    APPROXIMATE,
    EXACT,
    GRAPHS,
    all_sites,
    as_if_trained,
    images,
    initial,
    random_chain,
    small,
)
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
def test_attributes(operator):
    assert isinstance(operator, Operator)
    assert operator.exact == (operator in EXACT)
    assert operator.name.isidentifier()
    assert [o.name for o in OPERATORS].count(operator.name) == 1
    assert operator.site.__dataclass_params__.frozen


@every_operator
def test_it_applies_to_initial_networks_at_several_sites(operator):
    for index in range(4):
        num_sites = len(operator.candidates(initial(index)))
        assert num_sites >= 2 or (operator.name == "separate_convolution" and index in (1, 2))


@every_operator
@every_graph
def test_children_pass_the_check_with_read_only_weights(operator, make):
    _, children = _children(operator, make)
    for site, change in children:
        check(change.graph)
        for name, node in change.graph.items():
            for key, value in node.weights.items():
                assert value.dtype == np.float32, (site, name, key)
                assert not value.flags.writeable, (site, name, key)


@every_operator
@every_graph
def test_the_parent_is_unchanged(operator, make):
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
def test_candidates_are_distinct_plain_and_in_a_fixed_order(operator, make):
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
def test_candidates_are_the_sites_that_are_not_refused(operator, make):
    graph = make()
    candidates = set(operator.candidates(graph))
    for site in all_sites(operator.site, graph):
        reason = operator.refusal(graph, site)
        assert (reason is None) == (site in candidates), (site, reason)
        assert reason is None or (reason and not reason.endswith(".")), site


@every_operator
@every_graph
def test_replaying_a_record_makes_the_same_child(operator, make):
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
def test_shapes_and_weights_give_the_same_child(operator, make):
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
def test_a_graph_of_shapes_draws_no_random_numbers(operator):
    graph = small().copy(weights=False)
    rng = _rng()
    for site in operator.candidates(graph):
        operator.apply(graph, site, rng=rng)
    assert rng.bit_generator.state == _rng().bit_generator.state


@every_operator
@every_graph
def test_exact_operators_remove_no_parameters_and_approximate_ones_add_none(operator, make):
    graph, children = _children(operator, make)
    before = count_parameters(graph)
    for site, change in children:
        after = count_parameters(change.graph)
        assert (after >= before) if operator.exact else (after <= before), site
        if after == before and not operator.exact:  # a skip without parameters
            assert isinstance(graph[site.node].layer, L.ConvexSum)


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
            if name in change.graph:  # the end of a removed skip is not
                assert len(source) == change.graph.shapes()[name][-1]


@every_operator
@every_graph
def test_nodes_that_are_not_affected_share_the_parents_weights(operator, make):
    graph, children = _children(operator, make)
    for site, change in children:
        for name, node in change.graph.items():
            if node.weights and name not in change.affected:
                assert node.weights is graph[name].weights, (site, name)


@every_operator
def test_applying_at_an_unknown_node_is_an_error(operator):
    graph = small()
    sites = operator.candidates(graph)
    plain = record(operator, sites[0])["site"]
    nowhere = operator.site(**{**plain, next(iter(plain)): "nowhere"})
    nodes = dict(graph.items())
    with pytest.raises(
        SiteError,
        match=rf"{operator.name} does not apply at \w+\(.*\): there is no layer 'nowhere'",
    ):
        operator.apply(graph, nowhere, rng=_rng())
    assert dict(graph.items()) == nodes


@pytest.mark.parametrize("seed", range(160))
def test_chains_of_operators_preserve_the_invariants(seed):
    """Up to ten operators in sequence, with new weights between; exact ones keep the logits."""
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
            before, after = count_parameters(parent), count_parameters(change.graph)
            # Removing a convex sum can remove no parameters.
            assert after < before or (operator.name, after) == ("remove", before)


@pytest.mark.parametrize("seed", range(10))
def test_a_chain_replayed_on_weights_equals_the_chain_on_shapes(seed):
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
