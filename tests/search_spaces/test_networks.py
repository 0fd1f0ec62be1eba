"""Search space I: initial networks, lower bounds, and proposals."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from graphs import as_if_trained
from scipy.stats import chisquare

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.text import canonical_hash, to_json
from lemonade_tf.operators import APPROXIMATE, EXACT, Operator, record, replay
from lemonade_tf.search_spaces import NETWORKS, NetworkSpace
from lemonade_tf.search_spaces.networks import (
    INITIAL_FILTERS,
    minimum_filters,
    minimum_parameters,
)


def _initial(index=0, shape=(8, 8, 1)):
    return NETWORKS.initial_graphs(shape, 10)[index]


# --- Initial networks ----------------------------------------------------------------------------


def test_initial_networks_have_the_parameters_of_the_paper():
    graphs = NETWORKS.initial_graphs((32, 32, 3), 10)
    assert [count_parameters(graph) for graph in graphs] == [15_232, 51_149, 101_605, 400_758]
    for graph, paper in zip(graphs, (15_000, 50_000, 100_000, 400_000), strict=True):
        assert count_parameters(graph) == pytest.approx(paper, rel=0.03)


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (28, 28, 1), (64, 64, 3), (5, 9, 2)])
def test_initial_networks_pass_the_check_by_size_and_are_in_the_space(shape):
    graphs = NETWORKS.initial_graphs(shape, 10)
    sizes = [count_parameters(graph) for graph in graphs]
    assert len(sizes) == 4
    assert sizes == sorted(set(sizes))
    for graph in graphs:
        check(graph)
        assert graph.has_weights
        assert NETWORKS.allows(graph)
        assert graph.shapes()[graph.output] == (10,)
        assert graph[graph.output].layer == L.Activation("softmax")


def test_initial_networks_are_three_blocks_with_pooling_between():
    kinds = [type(node.layer).__name__ for _, node in _initial(0, (32, 32, 3)).items()]
    block = ["Conv2D", "BatchNormalization", "ReLU"]
    head = ["GlobalAveragePooling2D", "Dense", "Activation"]
    assert kinds == [
        *("Input", "Rescaling", *block, "MaxPooling2D", *block, "MaxPooling2D", *block, *head),
    ]
    separable = [
        sum(isinstance(node.layer, L.SeparableConv2D) for _, node in graph.items())
        for graph in NETWORKS.initial_graphs((32, 32, 3), 10)
    ]
    assert separable == [0, 3, 3, 0]


@pytest.mark.parametrize(
    ("shape", "sides"),
    [
        ((8, 8, 1), [8, 4, 2]),
        ((4, 4, 1), [4, 2, 1]),
        ((3, 3, 1), [3, 1, 1]),
        ((2, 2, 1), [2, 1, 1]),
        ((2, 9, 1), [2, 1, 1]),
    ],
)
def test_small_images_are_pooled_down_to_one_pixel(shape, sides):
    for graph in NETWORKS.initial_graphs(shape, 3):
        assert [graph.shapes()[f"relu_{number}"][0] for number in (1, 2, 3)] == sides


def test_initial_networks_for_8x8_images():
    graphs = NETWORKS.initial_graphs((8, 8, 1), 10)
    assert [count_parameters(graph) for graph in graphs] == [14_980, 50_987, 101_395, 399_534]
    assert max(count_multiply_adds(graph) for graph in graphs) < 5e6
    for graph in graphs:
        assert NETWORKS.propose(graph, rng=np.random.default_rng(0)) is not None


def test_initial_networks_can_be_narrower_or_wider():
    widths = {
        width: [
            [node.layer.filters for _, node in graph.items() if hasattr(node.layer, "filters")]
            for graph in NetworkSpace(initial_width=width).initial_graphs((8, 8, 1), 10)
        ]
        for width in (0.25, 1.0, 2.0, 0.001)
    }
    assert widths[1.0] == [list(filters) for _, filters in INITIAL_FILTERS]
    assert widths[0.25] == [[4, 6, 12], [18, 34, 64], [24, 48, 96], [17, 33, 66]]
    assert widths[2.0][0] == [28, 52, 92]
    assert widths[0.001] == [[4, 4, 4], [4, 4, 4]]  # plain and separable


def test_weights_follow_from_the_generator():
    kernels = [
        NETWORKS.initial_graphs((8, 8, 1), 10, rng=rng)[0]["conv_1"].weights["kernel"]
        for rng in (None, np.random.default_rng(0), np.random.default_rng(1))
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert (kernels[0] != kernels[2]).all()


def test_rescaling_is_part_of_the_network():
    rescaling = L.Rescaling((0.1, 0.2, 0.3), (-1, -2, -3))
    graph = NETWORKS.initial_graphs((8, 8, 3), 10, rescaling=rescaling)[0]
    assert graph["rescaling"].layer == rescaling
    assert _initial()["rescaling"].layer == L.Rescaling(1 / 127.5, -1.0)


@pytest.mark.parametrize(
    ("shape", "num_classes", "message"),
    [
        ((1, 8, 3), 10, r"input_shape is \(1, 8, 3\); expected \(height, width, channels\) of im"),
        ((8, 8), 10, r"input_shape is \(8, 8\); expected"),
        ([8, 1, 1], 10, r"input_shape is \(8, 1, 1\); expected"),
        ((8, 8, 3), 1, "num_classes is 1; expected at least 2"),
    ],
)
def test_a_task_without_networks_is_an_error(shape, num_classes, message):
    with pytest.raises(ValueError, match=message):
        NETWORKS.initial_graphs(shape, num_classes)


def test_the_operators_of_the_space():
    assert NETWORKS.name == "networks"
    assert NETWORKS.exact == EXACT
    assert NETWORKS.approximate == APPROXIMATE
    assert len({*EXACT, *APPROXIMATE}) == 6


# --- Lower bounds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "filters", "parameters"),
    [(64, 8, 10_000), (32, 8, 10_000), (28, 7, 7_656), (16, 4, 2_500), (8, 4, 625), (2, 4, 39)],
)
def test_minimum_filters_and_parameters_shrink_with_the_image(side, filters, parameters):
    assert minimum_filters(side) == filters
    assert minimum_parameters(side) == parameters


@pytest.mark.parametrize(
    ("side", "width", "filters", "parameters"),
    [(32, 0.5, 4, 2_500), (32, 0.1, 4, 625), (32, 2.0, 8, 10_000), (8, 0.25, 4, 625)],
)
def test_narrow_initial_networks_lower_the_minimums(side, width, filters, parameters):
    assert minimum_filters(side, width) == filters
    assert minimum_parameters(side, width) == parameters


def test_children_of_narrow_initial_networks_may_be_smaller():
    space = NetworkSpace(initial_width=0.25)
    smallest, rng = space.initial_graphs((32, 32, 3), 10)[0], np.random.default_rng(0)
    assert space.allows(smallest)
    sizes = [count_parameters(space.propose(smallest, rng=rng)[0]) for _ in range(50)]
    assert 625 <= min(sizes) < count_parameters(smallest) < max(sizes) < 10_000


def _with_filters(*widths, shape=(32, 32, 3), kernels=(3, 3, 3)):
    graph = _initial(0, shape).copy(weights=False)
    for number, (width, kernel) in enumerate(zip(widths, kernels, strict=True), 1):
        graph.set_layer(f"conv_{number}", L.Conv2D(width, kernel))
    check(graph)
    return graph


def test_networks_below_a_minimum_are_not_in_the_space():
    assert NETWORKS.allows(_with_filters(8, 26, 46))
    assert not NETWORKS.allows(_with_filters(7, 26, 46))  # too few filters
    assert not NETWORKS.allows(_with_filters(14, 14, 46))  # 8,890 parameters
    assert not NETWORKS.allows(_with_filters(64, 64, 64, kernels=(3, 3, 1)))  # two convolutions
    assert NETWORKS.allows(_with_filters(4, 4, 9, shape=(8, 8, 1)))
    assert not NETWORKS.allows(_with_filters(4, 4, 8, shape=(8, 8, 1)))  # 622 parameters
    assert not NETWORKS.allows(_with_filters(3, 8, 8, shape=(8, 8, 1)))


def test_projections_of_skips_are_not_counted_as_convolutions():
    graph = _with_filters(14, 26, 46)
    graph.add("skip", L.Conv2D(2, 1), ["pool_1"])
    graph.add("both", L.Concatenate(), ["relu_2", "skip"])
    graph.redirect("relu_2", "both", exclude=["both"])
    check(graph)
    assert NETWORKS.allows(graph)


# --- Proposals -----------------------------------------------------------------------------------


def test_the_number_of_operators_is_drawn_uniformly():
    graph = _initial(3)
    rng = np.random.default_rng(0)
    lengths = Counter(len(NETWORKS.propose(graph, rng=rng)[1]) for _ in range(600))
    assert set(lengths) == {1, 2, 3}
    assert chisquare([lengths[n] for n in (1, 2, 3)]).pvalue > 1e-3


def test_operators_are_drawn_uniformly():
    graph = _initial(3)  # all six apply to it, everywhere within the space
    rng = np.random.default_rng(1)
    first = Counter(NETWORKS.propose(graph, rng=rng)[1][0]["operator"] for _ in range(900))
    names = [operator.name for operator in (*EXACT, *APPROXIMATE)]
    allowed = {name for name in names if first[name]}
    assert allowed == set(names) - {"remove"}  # it would leave two convolutions
    assert chisquare([first[name] for name in sorted(allowed)]).pvalue > 1e-3


def test_operators_of_a_deeper_parent_are_drawn_uniformly():
    graph = _initial(3)
    insert = EXACT[0]
    graph = insert.apply(graph, insert.candidates(graph)[0], rng=np.random.default_rng(0)).graph
    rng = np.random.default_rng(2)
    first = Counter(NETWORKS.propose(graph, rng=rng)[1][0]["operator"] for _ in range(1200))
    assert len(first) == 6
    assert chisquare(list(first.values())).pvalue > 1e-3


def test_sites_are_drawn_uniformly():
    graph = _initial(3)
    space = NetworkSpace(exact=EXACT[1:2], approximate=(), max_operators=1)
    rng = np.random.default_rng(3)
    sites = Counter(str(space.propose(graph, rng=rng)[1][0]["site"]) for _ in range(600))
    assert len(sites) == len(EXACT[1].candidates(graph)) == 6
    assert chisquare(list(sites.values())).pvalue > 1e-3


@pytest.mark.parametrize("index", range(4))
def test_chained_proposals_never_leave_the_space(index):
    rng = np.random.default_rng(index)
    graph, start = _initial(index), count_parameters(_initial(index))
    sizes = []
    for _ in range(150):
        child, records = NETWORKS.propose(graph, rng=rng)
        assert 1 <= len(records) <= 3
        assert not child.has_weights
        assert NETWORKS.allows(child)
        check(child)
        sizes.append(count_parameters(child))
        # Return to small parents repeatedly, as a population does.
        graph = (
            child if count_parameters(child) < 3 * start and len(child) < 60 else _initial(index)
        )
    assert len(set(sizes)) > 50
    assert min(sizes) >= minimum_parameters(8)


def test_shrinking_reaches_the_minimum_and_not_less():
    space = NetworkSpace(exact=())
    graph, sizes, rng = _initial(), [], np.random.default_rng(0)
    while (proposal := space.propose(graph, rng=rng)) is not None:
        graph = proposal[0]
        assert space.allows(graph)
        sizes.append(count_parameters(graph))
    assert all(after < before for before, after in pairwise(sizes))
    assert minimum_parameters(8) <= sizes[-1] < 2 * minimum_parameters(8)


def test_proposals_follow_from_the_generator():
    graph = _initial()
    one, other = (
        [NETWORKS.propose(graph, rng=rng) for _ in range(30)]
        for rng in (np.random.default_rng(4), np.random.default_rng(4))
    )
    assert [records for _, records in one] == [records for _, records in other]
    assert [to_json(child) for child, _ in one] == [to_json(child) for child, _ in other]


def test_proposals_do_not_depend_on_weights():
    graph = _initial()
    shapes = graph.copy(weights=False)
    trained = as_if_trained(graph, np.random.default_rng(0))
    results = [
        [records for _, records in (NETWORKS.propose(g, rng=rng) for _ in range(30))]
        for g, rng in ((g, np.random.default_rng(5)) for g in (graph, shapes, trained))
    ]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("shape", [(8, 2, 3), (2, 16, 1)])
def test_children_for_narrow_images(shape):
    """The last blocks are one pixel wide, where no block can be inserted."""
    parent, rng, found = _initial(shape=shape).copy(weights=False), np.random.default_rng(0), set()
    for _ in range(20):
        child, records = NETWORKS.propose(parent, rng=rng)
        check(child)
        found.update(entry["operator"] for entry in records)
    assert found == {operator.name for operator in (*NETWORKS.exact, *NETWORKS.approximate)}


def test_the_parent_is_unchanged():
    graph = _initial()
    nodes = dict(graph.items())
    for seed in range(20):
        NETWORKS.propose(graph, rng=np.random.default_rng(seed))
    assert all(graph[name] is node for name, node in nodes.items())
    assert len(graph) == len(nodes)


@pytest.mark.parametrize("seed", range(20))
def test_a_proposal_replayed_on_weights_is_the_same_child(seed):
    rng = np.random.default_rng(seed)
    parent = as_if_trained(_initial(seed % 4), rng)
    child, records = NETWORKS.propose(parent, rng=rng)
    change = replay(parent, records, rng=rng)
    check(change.graph)
    assert change.graph.has_weights
    assert canonical_hash(change.graph) == canonical_hash(child)
    assert to_json(change.graph.copy(weights=False)) == to_json(child)


def test_a_space_without_operators_proposes_nothing():
    space = NetworkSpace(exact=(), approximate=())
    assert space.propose(_initial(), rng=np.random.default_rng(0)) is None


class _Useless(Operator):
    """Applies at one site, and leaves the space."""

    name, exact, site = "useless", True, type(EXACT[1].candidates(_initial())[0])

    def _sites(self, graph):
        yield EXACT[1].candidates(graph)[0]

    def _refusal(self, graph, site):
        return None

    def _apply(self, graph, site, rng):
        prune = APPROXIMATE[1]
        for _ in range(2):  # 14 filters, 7, 4: too few for 32x32
            at = next(s for s in prune.candidates(graph) if s.node == "conv_1")
            change = prune.apply(graph, at, rng=rng)
            graph = change.graph
        return change


def test_an_operator_whose_results_all_leave_the_space_is_not_drawn():
    graph = _initial(0, (32, 32, 3))
    space = NetworkSpace(exact=(_Useless(),), approximate=())
    assert space.propose(graph, rng=np.random.default_rng(0)) is None
    space = NetworkSpace(exact=(_Useless(), EXACT[1]), approximate=())
    _, records = space.propose(graph, rng=np.random.default_rng(0))
    assert {entry["operator"] for entry in records} == {EXACT[1].name}


def test_operators_are_drawn_uniformly_from_those_with_an_allowed_site():
    """In the smallest network for CIFAR, most sites of approximate operators leave the space."""
    graph, space = _initial(0, (32, 32, 3)), replace(NETWORKS, max_operators=1)
    rng = np.random.default_rng(0)
    allowed = {
        operator.name: {
            str(record(operator, site)["site"])
            for site in operator.candidates(graph)
            if space.allows(operator.apply(graph, site, rng=rng).graph)
        }
        for operator in (*space.exact, *space.approximate)
    }
    remove, prune, _ = APPROXIMATE
    assert not allowed[remove.name]
    assert 0 < len(allowed[prune.name]) < len(prune.candidates(graph))
    drawn = [space.propose(graph, rng=rng)[1][0] for _ in range(1500)]
    operators = Counter(entry["operator"] for entry in drawn)
    assert operators.keys() == {name for name, sites in allowed.items() if sites}
    assert chisquare(list(operators.values())).pvalue > 1e-3
    for name in operators:
        sites = Counter(str(entry["site"]) for entry in drawn if entry["operator"] == name)
        assert sites.keys() == allowed[name]
        assert chisquare(list(sites.values())).pvalue > 1e-3
