"""Search space II: initial cells, lower bounds, and proposals."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from graphs import SMALL_CELLS, as_if_trained, cells
from scipy.stats import chisquare

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.cells import extract_cell
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.operators import APPROXIMATE_IN_CELLS, EXACT_IN_CELLS, replay
from lemonade_tf.operators.prune import PruneSite
from lemonade_tf.search_spaces import CELLS, NETWORKS, CellSpace
from lemonade_tf.search_spaces.cells import MIN_FILTERS


def initial(index=0, shape=(8, 8, 1)):
    return SMALL_CELLS.initial_graphs(shape, 10)[index]


# --- Initial networks ----------------------------------------------------------------------------


def test_the_initial_networks_have_the_cells_of_the_paper():
    graphs = CELLS.initial_graphs((32, 32, 3), 10)
    found = []
    for graph in graphs:
        cell, cells_per_block, filters = extract_cell(graph)
        assert cells_per_block == 2
        assert [type(node.layer) for node in cell.nodes.values()][1:] == [
            L.BatchNormalization,
            L.ReLU,
        ]
        layer = cell.nodes["conv_1"].layer
        assert (layer.filters, layer.kernel_size) == (filters // 4, (3, 3))
        assert graph["cell_8_conv_1"].layer.filters == filters
        found.append((type(layer), filters))
    assert found == [
        (L.SeparableConv2D, 128),
        (L.SeparableConv2D, 256),
        (L.Conv2D, 128),
        (L.Conv2D, 256),
    ]
    assert [count_parameters(graph) for graph in graphs] == [108_714, 407_882, 861_930, 3_438_026]


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (64, 64, 3), (5, 9, 2), (2, 2, 1)])
def test_initial_networks_pass_the_check_by_size_and_are_in_the_space(shape):
    graphs = SMALL_CELLS.initial_graphs(shape, 7)
    sizes = [count_parameters(graph) for graph in graphs]
    assert len(graphs) == 4
    assert sizes == sorted(set(sizes))
    for graph in graphs:
        check(graph)
        assert graph.has_weights
        assert SMALL_CELLS.allows(graph)
        assert graph.shapes()[graph.output] == (7,)
        assert graph[graph.output].layer == L.Activation("softmax")


def test_rescaling_and_generator_are_used():
    rescaling = L.Rescaling((0.1, 0.2, 0.3), (-1, -2, -3))
    graph = SMALL_CELLS.initial_graphs((8, 8, 3), 10, rescaling=rescaling)[0]
    assert graph["rescaling"].layer == rescaling
    kernels = [
        SMALL_CELLS.initial_graphs((8, 8, 1), 10, rng=rng)[0]["stem_conv"].weights["kernel"]
        for rng in (None, np.random.default_rng(0), np.random.default_rng(1))
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert (kernels[0] != kernels[2]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": (12,)}, "filters is 12; expected a multiple of 4 that is at least 16"),
        ({"filters": (16, 30)}, "filters is 30; expected a multiple of 4"),
        ({"filters": ()}, "expected at least one F"),
        ({"cells_per_block": 0}, "cells_per_block is 0; expected .* at least one cell"),
    ],
)
def test_settings_without_a_network_are_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        CellSpace(**settings)


@pytest.mark.parametrize(
    ("shape", "num_classes", "message"),
    [((1, 8, 3), 10, r"input_shape is \(1, 8, 3\)"), ((8, 8, 3), 1, "num_classes is 1")],
)
def test_a_task_without_networks_is_an_error(shape, num_classes, message):
    with pytest.raises(ValueError, match=message):
        CELLS.initial_graphs(shape, num_classes)


def test_the_operators_of_the_space():
    assert CELLS.name == "cells"
    assert CELLS.exact == EXACT_IN_CELLS
    assert CELLS.approximate == APPROXIMATE_IN_CELLS
    assert CELLS.filters == (128, 256)


# --- Lower bounds --------------------------------------------------------------------------------


def test_too_few_filters_are_not_in_the_space():
    prune = APPROXIMATE_IN_CELLS[1]
    for index, filters in ((1, 8), (0, 4)):  # F = 32, F = 16
        graph = initial(index)
        assert extract_cell(graph)[0].nodes["conv_1"].layer.filters == filters
        child = prune.apply(graph, PruneSite("conv_1", "1/2"), rng=np.random.default_rng(0)).graph
        assert SMALL_CELLS.allows(child) == (filters // 2 >= MIN_FILTERS)


def test_a_cell_with_only_the_projection_of_a_skip_is_not_in_the_space():
    graph = initial(3).copy(weights=False)
    for name, node in list(graph.items()):
        if name.startswith("cell_") and isinstance(node.layer, L.Conv2D):
            graph.set_layer(name, L.Conv2D(node.layer.filters, 1))
    assert extract_cell(graph)[0].nodes["conv_1"].layer.kernel_size == (1, 1)
    assert not SMALL_CELLS.allows(graph)


def test_a_network_whose_cells_differ_is_not_in_the_space():
    assert not CELLS.allows(NETWORKS.initial_graphs((8, 8, 1), 10)[0])
    graph = initial(3).copy(weights=False)
    graph.set_layer("cell_3_conv_1", L.Conv2D(17, 3))
    assert not SMALL_CELLS.allows(graph)


def walk_down(graph):
    """Return the networks in the space that approximate operators make of a network."""
    space, rng = CellSpace(exact=()), np.random.default_rng(0)
    walk = [graph]
    while (proposal := space.propose(walk[-1], rng=rng)) is not None:
        walk.append(proposal[0])
    return walk


@pytest.mark.parametrize("index", range(4))
def test_the_smallest_possible_cell_is_reached_from_every_initial_one(index):
    """Figure 14: "The smallest possible cell in our search space is also discovered"."""
    start = CELLS.initial_graphs((32, 32, 3), 10)[index]
    walk = walk_down(start)
    assert all(count_parameters(b) < count_parameters(a) for a, b in pairwise(walk))
    cell, cells_per_block, filters = extract_cell(walk[-1])
    assert [type(node.layer) for node in cell.nodes.values()] == [
        L.SeparableConv2D,
        L.BatchNormalization,
        L.ReLU,
    ]
    layer = cell.nodes["conv_1"].layer
    assert MIN_FILTERS <= layer.filters < 2 * MIN_FILTERS  # the rounding of 1/4 and 1/2
    assert (cells_per_block, filters) == (2, extract_cell(start)[2])


def test_the_smallest_possible_cell_has_the_least_filters():
    """Halved three times, 32 filters are exactly the minimum; no operator goes below it."""
    graph = CELLS.initial_graphs((32, 32, 3), 10)[0]
    prune = APPROXIMATE_IN_CELLS[1]
    for _ in range(3):
        site = PruneSite("conv_1", "1/2")
        graph = prune.apply(graph, site, rng=np.random.default_rng(0)).graph
        assert CELLS.allows(graph)
    assert extract_cell(graph)[0].nodes["conv_1"].layer == L.SeparableConv2D(MIN_FILTERS, 3)
    assert len(walk_down(graph)) == 1


# --- Proposals -----------------------------------------------------------------------------------


def test_a_child_is_made_by_one_operator():
    """Section 5.1: "We only choose a single operator to generate children"."""
    graph, rng = cells(3, length=3).copy(weights=False), np.random.default_rng(0)
    proposals = [SMALL_CELLS.propose(graph, rng=rng) for _ in range(200)]
    assert {len(records) for _, records in proposals} == {1}
    names = Counter(records[0]["operator"] for _, records in proposals)
    assert set(names) == {op.name for op in (*EXACT_IN_CELLS, *APPROXIMATE_IN_CELLS)}


def test_operators_are_drawn_uniformly():
    graph, rng = initial(3).copy(weights=False), np.random.default_rng(1)
    names = Counter(SMALL_CELLS.propose(graph, rng=rng)[1][0]["operator"] for _ in range(900))
    expected = {op.name for op in (*EXACT_IN_CELLS, *APPROXIMATE_IN_CELLS)}
    assert set(names) == expected - {"remove_in_cells"}  # the only convolution
    assert chisquare(list(names.values())).pvalue > 1e-3


@pytest.mark.parametrize("index", range(4))
def test_chained_proposals_never_leave_the_space(index):
    rng, start = np.random.default_rng(index), initial(index).copy(weights=False)
    graph, sizes = start, []
    for _ in range(80):
        child, (entry,) = SMALL_CELLS.propose(graph, rng=rng)
        assert not child.has_weights
        assert SMALL_CELLS.allows(child)
        check(child)
        assert child.shapes()[child.output] == (10,)
        assert entry["operator"].endswith("_in_cells")
        sizes.append(count_parameters(child))
        graph = child if sizes[-1] < 20 * count_parameters(start) and len(child) < 200 else start
    assert len(set(sizes)) > 30


def test_proposals_follow_from_the_generator_and_not_from_weights():
    graph = initial(1)
    trained = as_if_trained(graph, np.random.default_rng(0))
    results = [
        [records for _, records in (SMALL_CELLS.propose(g, rng=rng) for _ in range(30))]
        for g, rng in (
            (g, np.random.default_rng(5)) for g in (graph, graph.copy(weights=False), trained)
        )
    ]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("seed", range(12))
def test_a_proposal_replayed_on_weights_is_the_same_child(seed):
    rng = np.random.default_rng(seed)
    parent = cells(seed, length=3)
    child, records = SMALL_CELLS.propose(parent, rng=rng)
    change = replay(parent, records, rng=rng)
    check(change.graph)
    assert change.graph.has_weights
    assert canonical_hash(change.graph) == canonical_hash(child)
    assert extract_cell(change.graph) == extract_cell(child)
